/** Listeners: whether their ports are free, and how long their certificates are good, and for which names. */

import { X509Certificate } from 'node:crypto'
import { createServer } from 'node:net'
import type { Finding } from '../../backends/backend.ts'
import type { Config } from '../config.ts'
import { listenersOf } from '../serve/addresses.ts'
import { readText } from '../serve/files.ts'
import { attempt, count, ok, problem, type Report, warning } from './report.ts'

/** Days before its end that a certificate is worth a word. */
const soon = 21
const day = 86_400_000

/** A port that is taken may be taken by the gateway that is running already. */
export async function checkListeners(config: Config, report: Report): Promise<void> {
  const certificates = new Set<string>()
  for (const { address, port, tls } of listenersOf(config)) {
    const code = await bindable(address, port)
    const where = `${address} port ${port}`
    if (code === undefined) report('process', ok('listener', `${where} is free`))
    else if (code === 'EADDRINUSE') {
      report('process', warning('listener', `${where} is in use; all is well if the gateway is running`))
    } else report('process', problem('listener', `${where} cannot be used (${code})`))
    if (tls) certificates.add(tls.certificate)
  }
  const names = namesOf(config)
  for (const file of certificates) {
    await attempt(report, 'process', 'certificate', async () => {
      for (const finding of certificateFindings(file, await readText(file), { names, now: Date.now() })) {
        report('process', finding)
      }
    })
  }
}

/** Names that clients call us by. */
function namesOf({ publicUrl, hosts, s3 }: Config): readonly string[] {
  const own = publicUrl === undefined ? [] : [new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')]
  return [...new Set([...own, ...hosts, ...(s3?.hosts ?? [])])]
}

/** Of the first certificate in `pem`, which is the one that is shown. */
export function certificateFindings(
  file: string,
  pem: string,
  { names, now }: { readonly names: readonly string[]; readonly now: number },
): readonly Finding[] {
  const [first = ''] = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/.exec(pem) ?? []
  const certificate = parse(first)
  if (!certificate) return [problem('certificate', `${file}: holds no certificate in PEM form`)]
  const missing = names.filter((name) => !isFor(certificate, name))
  const found = [endFinding(file, certificate, now)]
  if (missing.length > 0) {
    const text = `${file}: is not for ${missing.join(', ')}; clients that call the gateway so will refuse it: order one with these names`
    found.push(warning('certificate', text))
  }
  return found
}

/** How long a certificate is good. `whose` begins the sentence. */
export function endFinding(whose: string, certificate: X509Certificate, now: number): Finding {
  const begins = certificate.validFromDate.getTime()
  const ends = certificate.validToDate.getTime()
  const when = certificate.validToDate.toISOString()
  if (begins > now)
    return problem('certificate', `${whose}: is not good before ${certificate.validFromDate.toISOString()}`)
  if (ends <= now) return problem('certificate', `${whose}: has expired on ${when}; put a new one in its place`)
  const left = Math.floor((ends - now) / day)
  const text = `${whose}: good for ${count(left, 'day')}, until ${when}`
  return left < soon ? warning('certificate', `${text}; renew it`) : ok('certificate', text)
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    // Told by the caller with the name of the file.
    return undefined
  }
}

function isFor(certificate: X509Certificate, name: string): boolean {
  const isAddress = /^[0-9.]+$|:/.test(name)
  return (isAddress ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined
}

function bindable(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const server = createServer()
  server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'))
  server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  return promise
}
