/** The `backend` sections of mounts: one for each kind of storage. */

import { z } from 'zod'
import { parseNfs4Text } from '../../acl/codec/nfs4-text.ts'
import { root } from '../core/path.ts'
import { choice, duration, list, path, section, size, text, whole, yesNo } from './values.ts'

/** What sections need to resolve names of files and secrets from where the configuration file lies. */
export interface Sources<File extends z.ZodType, Secret extends z.ZodType> {
  readonly file: File
  readonly secret: Secret
}

/** One of the sections below, told apart by `type`. */
export function backendSection<File extends z.ZodType, Secret extends z.ZodType>(sources: Sources<File, Secret>) {
  return z.discriminatedUnion('type', [posix(sources), gpfs(sources), dust(sources), dcache(sources), s3(sources)], {
    error: (issue) =>
      issue.code === 'invalid_union' ? 'expected a section with `type: posix`, gpfs, dust, dcache or s3' : undefined,
  })
}

const fileName = text.refine(
  (given) => !given.includes('/') && given !== '.' && given !== '..',
  'expected a name without /',
)

const aclEntry = text.refine((given) => {
  try {
    return parseNfs4Text(given, 'directory').length === 1
  } catch {
    return false
  }
}, 'expected an entry such as A:fd:alice@example.org:rwaDxtTnNcCy')

const fileSystemName = text.refine(
  (given) => /^[^-\s:,=/][^:,=/\p{Cc}]*$/u.test(given),
  'expected a name as in `mmlsfs NAME`, not that of a device',
)

/** For HTTP Basic, which ends the name with a colon (RFC 7617, section 2). */
const loginName = text.refine((given) => !given.includes(':'), 'expected a name without a colon')

const poolHost = text.refine(
  (given) => /^(?:\[[\da-f:.]+\]|(?:\*\.)?[\w.-]+)(?::\d{1,5})?$/i.test(given),
  'expected a host such as pool1.example.org, *.example.org or pool1.example.org:1094',
)

const url = z.string('expected an address such as https://dcache.example.org:2880').transform((given, context) => {
  const parsed = URL.parse(given)
  const isPlain = parsed?.username === '' && parsed.password === '' && parsed.search === '' && parsed.hash === ''
  if (parsed && isPlain && ['http:', 'https:'].includes(parsed.protocol)) return parsed.href
  context.addIssue('expected an address such as https://dcache.example.org:2880, without user or query')
  return z.NEVER
})

/** What all back ends on directory trees have in common. */
function treeKeys<File extends z.ZodType>(file: File) {
  return {
    root: file,
    symlinks: choice('none', 'within').default('none'),
    /** Names that do not exist for any caller. */
    reserved: list(fileName, 1000).default([]),
    /** fsync before the answer, or not (for scratch). */
    sync: choice('always', 'never').default('always'),
    /** What replacing a file does where its owner, group and ACL cannot be given to the new one. */
    replace: choice('keep', 'refuse').default('keep'),
    /** I/O threads for metadata, one process. */
    threads: whole(1, 64).default(4),
    /** Reads and writes of bytes at once, one process. */
    dataThreads: whole(1, 64).default(4),
  }
}

function posix<File extends z.ZodType, Secret extends z.ZodType>({ file }: Sources<File, Secret>) {
  return section({
    type: z.literal('posix'),
    ...treeKeys(file),
    /** Where ACLs are looked for, in this order. */
    acl: list(choice('nfs4', 'xattr', 'posix'), 3).default(['nfs4', 'xattr', 'posix']),
    /** Whether other file systems mounted inside the tree are entered. */
    crossMounts: yesNo.default(false),
  })
}

/** How the gateway asks IBM Storage Scale for what the mounted file system does not tell. */
function scaleKeys<File extends z.ZodType, Secret extends z.ZodType>({ file, secret }: Sources<File, Secret>) {
  return {
    /** Name of the file system, as in `mmlsfs NAME`. */
    fileSystem: fileSystemName,
    /** Where it is mounted on this machine; where Scale says if absent. */
    mountPoint: file.exactOptional(),
    /** What reads and writes ACLs: libgpfs on the I/O threads, mmgetacl and mmputacl, or the management REST API. */
    acls: choice('library', 'commands', 'rest').default('library'),
    /** What is asked for quotas, filesets and snapshots. */
    information: choice('commands', 'rest', 'none').default('commands'),
    library: text.default('libgpfs.so'),
    /** Nobody else changes names in the tree: ACLs may be set by name. */
    exclusive: yesNo.default(false),
    commands: section({
      /** `/usr/lpp/mmfs/bin` if absent. */
      directory: file.exactOptional(),
      /** Words before each command, such as [sudo, -n]. */
      prefix: list(text, 16).default([]),
      timeout: duration.default(20_000),
      /** Commands at once, one process. */
      atOnce: whole(1, 64).default(4),
    }).prefault({}),
    rest: section({
      /** The GUI node: https://gui.example.org/scalemgmt/v2. */
      url,
      /** PEM certificates trusted instead of the system's. */
      ca: file.exactOptional(),
      user: loginName,
      password: secret,
    }).exactOptional(),
    /** The directory in which snapshots appear. */
    snapshots: fileName.default('.snapshots'),
    /** Where filesets begin, besides what `information` tells. */
    junctions: list(file, 10_000).default([]),
    /** Quotas of users and groups are kept for each fileset. */
    perFilesetQuotas: yesNo.default(false),
  }
}

function gpfs<File extends z.ZodType, Secret extends z.ZodType>(sources: Sources<File, Secret>) {
  return section({ type: z.literal('gpfs'), ...treeKeys(sources.file), ...scaleKeys(sources) })
}

function dust<File extends z.ZodType, Secret extends z.ZodType>(sources: Sources<File, Secret>) {
  const { fileSystem, ...scale } = scaleKeys(sources)
  return section({
    type: z.literal('dust'),
    ...treeKeys(sources.file),
    /** `gpfs` where the client runs, else over an NFS mount. */
    over: choice('gpfs', 'nfs'),
    /** Over NFS: where ACLs are looked for, in this order. */
    acl: list(choice('nfs4', 'xattr', 'posix'), 3).default(['nfs4']),
    /** Over GPFS, or for quotas by REST. */
    fileSystem: fileSystem.exactOptional(),
    ...scale,
  })
}

function dcache<File extends z.ZodType, Secret extends z.ZodType>({ file, secret }: Sources<File, Secret>) {
  return section({
    type: z.literal('dcache'),
    /** The WebDAV door. */
    webdav: url,
    /** The REST frontend, ending in /api/v1; it brings tape, quotas and faster listings. */
    frontend: url.exactOptional(),
    /** The directory of dCache that is served. */
    root: path.default(root),
    ca: file.exactOptional(),
    /** Hosts of pools: pool1.example.org or *.example.org, with a port or any. */
    pools: list(poolHost, 1000).default([]),
    /** Bytes may travel between pools and gateway by plain HTTP. */
    insecurePools: yesNo.default(false),
    connections: whole(1, 10_000).default(64),
    /** Description of the space reservation that is written to. */
    spaceToken: text.exactOptional(),
    /** A transfer that does not move. */
    stall: duration.default(60_000),
    /** Tokens that dCache takes as they are: name of the issuer and the audiences it asks for. */
    accepts: list(
      section({ issuer: text, audiences: list(text).min(1, 'expected at least one audience') }),
      100,
    ).default([]),
    /** The token itself, or a macaroon asked for with it. */
    send: choice('forward', 'macaroon').default('forward'),
    exchange: section({
      endpoint: url,
      client: text,
      secret,
      issuers: list(text, 100).min(1, 'expected at least one issuer'),
      audience: text.exactOptional(),
      scope: text.exactOptional(),
      resource: text.exactOptional(),
      /** What tokens for us call us, in `act`; our client's name if absent. */
      actor: text.exactOptional(),
      ca: file.exactOptional(),
    }).exactOptional(),
    /** Tokens with storage scopes make dCache skip its ACLs. */
    capabilities: choice('never', 'forward').default('never'),
    /** Callers whose credential dCache cannot be sent. */
    otherwise: choice('refuse', 'service').default('refuse'),
    /** The gateway's own login: a token, or an account and its password. */
    service: section({
      token: secret.exactOptional(),
      user: loginName.exactOptional(),
      password: secret.exactOptional(),
    }).exactOptional(),
    /** Send clients that follow redirects to the door, with a macaroon for one file. */
    redirects: section({
      validity: duration.default(600_000),
    }).exactOptional(),
    /** Listen to dCache's events. */
    events: yesNo.default(false),
  })
}

function s3<File extends z.ZodType, Secret extends z.ZodType>({ file, secret }: Sources<File, Secret>) {
  return section({
    type: z.literal('s3'),
    endpoint: url,
    region: text.default('us-east-1'),
    bucket: text,
    /** Only keys below it: `lab/data`. */
    prefix: z.string('expected a text').default(''),
    accessKeyId: text,
    secretAccessKey: secret,
    /** Bucket in the path rather than in the host name. */
    pathStyle: yesNo.default(true),
    ca: file.exactOptional(),
    /** Bytes sent at a time of a long upload. */
    partSize: size.default(16 * 2 ** 20).refine((bytes) => bytes >= 5 * 2 ** 20, 'expected at least 5M'),
    connections: whole(1, 10_000).default(64),
    stall: duration.default(60_000),
    /** ACL of the top as long as none was set; without one nobody may do anything. */
    rootAcl: section({
      owner: text,
      group: text.exactOptional(),
      /** As nfs4_getfacl shows them: A:fd:alice@example.org:rwaDxtTnNcCy. */
      entries: list(aclEntry, 1000),
    }).exactOptional(),
  })
}
