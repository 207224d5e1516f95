/** Debian's nginx as the proxy in front of a gateway at which TLS ends, for tests. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Certified } from './certificate-authority.ts'
import { answering, freePort } from './ports.ts'

/** Not on everybody's PATH. */
const nginx = '/usr/sbin/nginx'

/** Why there can be none here, or false. For `skip`. */
export const noNginx: string | false = spawnSync(nginx, ['-v']).status === 0 ? false : 'needs nginx (Debian: nginx)'

export interface ProxyOptions {
  readonly server: Certified
  /** Port of the gateway on 127.0.0.1. */
  readonly to: number
  /** The address that it comes from. */
  readonly from: string
  /** `ssl_verify_client`, with a file of authorities if there is one to check against. */
  readonly verify: 'on' | 'optional' | 'optional_no_ca'
  readonly ca?: string
}

/** Gives its port. It tells the certificate in `Client-Cert` as `$ssl_client_escaped_cert`. Ends with the test. */
export async function startNginx(t: Test, { server, to, from, verify, ca }: ProxyOptions): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'portolan-nginx-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  chmodSync(directory, 0o755)
  const files = { 'server.crt': server.cert, 'server.key': server.key, ...(ca !== undefined && { 'ca.pem': ca }) }
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text, { mode: 0o600 })
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  writeFileSync(
    join(directory, 'nginx.conf'),
    `daemon off; master_process off; pid ${directory}/pid; error_log stderr warn;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${directory}/${name};`).join(' ')}
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${directory}/server.crt;
    ssl_certificate_key ${directory}/server.key;
    ssl_verify_client ${verify};
    ssl_verify_depth 3;
    ${ca === undefined ? '' : `ssl_client_certificate ${directory}/ca.pem;`}
    location / {
      proxy_pass http://127.0.0.1:${to};
      proxy_bind ${from};
      proxy_set_header Host 127.0.0.1;
      proxy_set_header Client-Cert $ssl_client_escaped_cert;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }
}
`,
  )
  const child = spawn(nginx, ['-p', directory, '-c', join(directory, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => end(child))
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += String(chunk)
  })
  await answering(port, () => {
    if (child.exitCode !== null) throw new Error(`nginx did not start: ${said}`)
  })
  return port
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}
