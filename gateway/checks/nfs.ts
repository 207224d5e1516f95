/**
 * Mounts that lie on NFS: the domain by which an NFSv4 client knows names (idmapd.conf(5)), and the sixteen groups that
 * AUTH_SYS carries (RFC 5531, appendix A).
 */

import { access, readdir, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Finding } from '../../backends/backend.ts'
import type { Config } from '../config.ts'
import { count, ok, problem, type Report, warning } from './report.ts'

/** Groups that AUTH_SYS carries beside the first one. */
const mostGroups = 16
/** Milliseconds for a directory to be found: a server of NFS that is away answers never. */
const patience = 3000

export interface NfsMeans {
  /** /proc/self/mountinfo, or what is to be taken for it. */
  readonly mountinfo: string
  /** Directory of idmapd.conf. */
  readonly etc: string
  /** How many numeric groups accounts have, besides their first, as far as they are known. */
  readonly accounts: () => Promise<ReadonlyMap<string, number>>
}

interface NfsMount {
  readonly at: string
  readonly type: string
  readonly options: readonly string[]
}

export async function checkNfs({ mounts, domain }: Config, means: NfsMeans, report: Report): Promise<void> {
  const trees = mounts.flatMap(({ path, enforce, backend }) =>
    'root' in backend && backend.type !== 'dcache'
      ? [{ path, enforce, root: backend.root, entersMounts: backend.type === 'posix' && backend.crossMounts }]
      : [],
  )
  const places = await Promise.all(trees.map(({ root }) => placeOf(root)))
  const known = parseMounts(await readFile(means.mountinfo, 'utf8').catch(() => ''))
  const over = trees.flatMap(({ path, enforce, entersMounts }, index) => {
    const place = places[index] ?? ''
    const below = entersMounts ? known.filter(({ at }) => at.startsWith(`${place}/`)) : []
    const all = [mountOf(place, known) ?? [], ...below].flat()
    return all.filter(({ type }) => /^nfs4?$/.test(type)).map((on) => ({ path, enforce, on }))
  })
  if (over.some(({ on }) => on.type === 'nfs4')) report('nfs', await idmapFinding(domain, means.etc))
  const plain = over.filter(({ enforce, on }) => enforce === 'native' && flavourOf(on) === 'sys')
  if (plain.length === 0) return
  const accounts = [...(await means.accounts())]
  const rich = accounts.filter(([, groups]) => groups > mostGroups)
  for (const path of new Set(plain.map((each) => each.path))) {
    report(`mount ${path}`, groupsFinding(rich, accounts.length))
  }
}

/** Where a root really lies, and mounted where that is done on demand; as it is written where that cannot be found out. */
async function placeOf(root: string): Promise<string> {
  const found = access(`${root}/.`).then(() => realpath(root))
  return Promise.race([found.catch(() => root), sleep(patience, root, { ref: false })])
}

/** By the deepest of all mounts, the later one where two lie over each other. */
function mountOf(root: string, mounts: readonly NfsMount[]): NfsMount | undefined {
  const above = mounts.filter(({ at }) => at === '/' || root === at || root.startsWith(`${at}/`))
  return above.reduce<NfsMount | undefined>(
    (best, each) => (best && best.at.length > each.at.length ? best : each),
    undefined,
  )
}

/** proc_pid_mountinfo(5): fields, a hyphen, type, source and the options of the file system; blanks are written \\040. */
export function parseMounts(text: string): readonly NfsMount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ')
    const at = before.split(' ')[4]
    if (at === undefined || after === undefined) return []
    const [type = '', , options = ''] = after.split(' ')
    return [{ at: unescaped(at), type, options: options.split(',') }]
  })
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** AUTH_SYS where the mount does not say. */
function flavourOf({ options }: NfsMount): string {
  return options.find((option) => option.startsWith('sec='))?.slice(4) ?? 'sys'
}

function groupsFinding(rich: ReadonlyArray<readonly [string, number]>, looked: number): Finding {
  const toDo =
    'let the server look groups up (manage-gids in nfs.conf(5); a switch of that kind on other servers), or mount with sec=krb5'
  const [first, ...others] = rich
  if (first) {
    const names = [first, ...others].slice(0, 10).map(([name, groups]) => `${name} (${groups})`)
    const text = `sec=sys carries ${mostGroups} groups; rights of further ones are lost for ${names.join(', ')}: ${toDo}`
    return problem('groups', text)
  }
  const text = `sec=sys carries ${mostGroups} groups; users with more lose the rights of the others: ${toDo}. None of the ${count(looked, 'account')} looked at has more`
  return warning('groups', text)
}

async function idmapFinding(domain: string, etc: string): Promise<Finding> {
  const told = await idmapDomain(etc)
  if (told === domain) return ok('idmap', `NFSv4 names are of ${domain} here too`)
  const toDo = `set Domain = ${domain} in the section [General] of ${join(etc, 'idmapd.conf')}, then \`nfsidmap -c\``
  if (told === undefined) {
    const text = `${join(etc, 'idmapd.conf')} names no Domain, so that of the host's name is taken for NFSv4 names: ${toDo}`
    return warning('idmap', text)
  }
  const text = `NFSv4 names are of ${told} for this machine and of ${domain} for the gateway, so that owners and ACL entries of NFS mean nobody: ${toDo}`
  return problem('idmap', text)
}

/** What the last file says counts. */
async function idmapDomain(etc: string): Promise<string | undefined> {
  const more = join(etc, 'idmapd.conf.d')
  const names = (await readdir(more).catch(() => [])).filter((name) => name.endsWith('.conf')).toSorted()
  const files = [join(etc, 'idmapd.conf'), ...names.map((name) => join(more, name))]
  let domain: string | undefined
  for (const file of files) domain = domainIn(await readFile(file, 'utf8').catch(() => '')) ?? domain
  return domain
}

function domainIn(text: string): string | undefined {
  let section = ''
  let domain: string | undefined
  for (const line of text.split('\n').map((each) => each.trim())) {
    const [, name] = /^\[\s*([^\]]*?)\s*\]/.exec(line) ?? []
    if (name !== undefined) section = name.toLowerCase()
    const [, value] = /^domain\s*=\s*(\S+)/i.exec(line) ?? []
    if (section === 'general' && value !== undefined) domain = value.toLowerCase()
  }
  return domain
}
