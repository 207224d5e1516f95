/**
 * Stand-ins for commands of IBM Storage Scale, as documented in its command reference: mmgetacl, mmputacl, mmlsquota,
 * mmlsfileset, mmlssnapshot, mmlsfs. One program, started by small scripts that name the command and a directory:
 *
 *     settings.json   file system, mount point, -k, filesets, quotas, snapshots (gpfs.ts says the shape)
 *     faults.json     what goes wrong, by command
 *     calls           one line for each call
 *     acls/           lists that were set, by device, inode and birth
 *
 * An object without a list of its own shows its mode bits translated (mmgetacl command: -k nfs4 of an object with
 * traditional permissions), or what it inherited when it was made. Changing the mode drops the list, as the fileset
 * setting chmodAndSetAcl does; setting a list changes the mode.
 */

import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

const [directory, command, ...args] = process.argv.slice(2)
const settings = JSON.parse(readFileSync(join(directory, 'settings.json'), 'utf8'))

const cellRows = [
  ['READ/LIST', 'WRITE/CREATE', 'APPEND/MKDIR', 'SYNCHRONIZE', 'READ_ACL', 'READ_ATTR', 'READ_NAMED'],
  ['DELETE', 'DELETE_CHILD', 'CHOWN', 'EXEC/SEARCH', 'WRITE_ACL', 'WRITE_ATTR', 'WRITE_NAMED'],
]
const widths = cellRows[0].map((name, i) => Math.max(name.length, cellRows[1][i].length))
const always = ['SYNCHRONIZE', 'READ_ACL', 'READ_ATTR', 'READ_NAMED']
const owners = ['CHOWN', 'WRITE_ACL', 'WRITE_ATTR', 'WRITE_NAMED']
const flagWords = ['FileInherit', 'DirInherit', 'NoPropagateInherit', 'InheritOnly', 'Inherited']

/** A problem as the commands report it: a message with a severity tag whose number is the return code. */
class Trouble extends Error {
  constructor(text, code) {
    super(text)
    this.code = code
  }
}

// ---- lists: { who, type, flags: [words], cells: [names] } ----

function printList(stat, entries) {
  const blocks = entries.map(printEntry)
  return `#NFSv4 ACL\n#owner:${nameOf('passwd', stat.uid)}\n#group:${nameOf('group', stat.gid)}\n${blocks.join('\n')}`
}

function printEntry({ who, type, flags, cells }) {
  const has = (name) => cells.includes(name)
  const summary = [
    ['r', 'READ/LIST'],
    ['w', 'WRITE/CREATE'],
    ['x', 'EXEC/SEARCH'],
    ['c', 'WRITE_ACL'],
  ].map(([letter, name]) => (has(name) ? letter : '-'))
  const rows = cellRows.map(
    (row) =>
      ` ${row
        .map((name, i) => `(${has(name) ? 'X' : '-'})${name.padEnd(widths[i])}`)
        .join(' ')
        .trimEnd()}\n`,
  )
  return `${[who, summary.join(''), type, ...flags].join(':')}\n${rows.join('')}`
}

function parseList(text) {
  const lines = text.split(/\r?\n/)
  if (lines[0].trim() !== '#NFSv4 ACL') throw new Trouble('this stand-in takes NFSv4 ACLs only', 22)
  const entries = []
  for (const line of lines.slice(1)) {
    if (line.trim() === '' || line.startsWith('#')) continue
    if (/^\s*\(/.test(line))
      entries.at(-1).cells.push(...[...line.matchAll(/\(X\)([A-Z_/]+)/g)].map((found) => found[1]))
    else entries.push(parseEntry(line.trim()))
  }
  return entries
}

function parseEntry(line) {
  const found =
    /^((?:special:(?:owner|group|everyone)@)|(?:user|group):[^:]+):[rwxc-]{4}:(allow|deny)((?::\w+)*)$/.exec(line)
  const flags = found?.[3].split(':').filter(Boolean) ?? []
  if (!found || flags.some((flag) => !flagWords.includes(flag))) throw new Trouble('an entry is not valid', 22)
  const [, who, type] = found
  const [kind, name] = who.split(':')
  if (kind !== 'special' && (settings.unknownNames ?? []).includes(name)) throw new Trouble('no such name', 22)
  return { who, type, flags, cells: [] }
}

/** Mode bits as allow entries, with a deny before where a later class may do more. */
function listOfMode(mode, isDirectory) {
  const cellsOf = (bits) => [
    ...(bits & 4 ? ['READ/LIST'] : []),
    ...(bits & 2 ? ['WRITE/CREATE', 'APPEND/MKDIR', ...(isDirectory ? ['DELETE_CHILD'] : [])] : []),
    ...(bits & 1 ? ['EXEC/SEARCH'] : []),
  ]
  const [owner, group, other] = [(mode >> 6) & 7, (mode >> 3) & 7, mode & 7]
  const entries = []
  const deny = (who, bits) => bits && entries.push({ who, type: 'deny', flags: [], cells: cellsOf(bits) })
  const allow = (who, bits, more) => entries.push({ who, type: 'allow', flags: [], cells: [...cellsOf(bits), ...more] })
  deny('special:owner@', (group | other) & ~owner)
  allow('special:owner@', owner, [...always, ...owners])
  allow('special:group@', group, always)
  deny('special:group@', other & ~group)
  allow('special:everyone@', other, always)
  return entries
}

/** The nine mode bits of a list (RFC 8881, section 6.3.2). */
function modeOfList(entries) {
  let mode = 0
  for (const [who, shift] of [
    ['special:owner@', 6],
    ['special:group@', 3],
    ['special:everyone@', 0],
  ]) {
    const decided = new Map()
    for (const entry of entries) {
      if (entry.flags.includes('InheritOnly') || (entry.who !== who && entry.who !== 'special:everyone@')) continue
      for (const cell of entry.cells) if (!decided.has(cell)) decided.set(cell, entry.type === 'allow')
    }
    const bits =
      (decided.get('READ/LIST') ? 4 : 0) |
      (decided.get('WRITE/CREATE') && decided.get('APPEND/MKDIR') ? 2 : 0) |
      (decided.get('EXEC/SEARCH') ? 1 : 0)
    mode |= bits << shift
  }
  return mode
}

/** What a new object gets, as observed on GPFS: for a directory one entry for directories and one for files. */
function inherited(entries, isDirectory) {
  const found = []
  for (const entry of entries) {
    const has = (word) => entry.flags.includes(word)
    const stops = has('NoPropagateInherit')
    if (!isDirectory && has('FileInherit')) found.push({ ...entry, flags: ['Inherited'] })
    if (isDirectory && has('DirInherit'))
      found.push({ ...entry, flags: stops ? ['Inherited'] : ['DirInherit', 'Inherited'] })
    if (isDirectory && has('FileInherit') && !stops) {
      found.push({ ...entry, flags: ['FileInherit', 'InheritOnly', 'Inherited'] })
    }
  }
  return found
}

// ---- where lists are kept ----

function lookAt(path) {
  try {
    return statSync(path, { bigint: true })
  } catch (error) {
    throw new Trouble(`${path}: ${error.code}`, error.errno ? -error.errno : 5)
  }
}

function fileOf(stat) {
  return join(directory, 'acls', `${stat.dev}-${stat.ino}-${stat.birthtimeNs}`)
}

function bitsOf(stat) {
  return Number(stat.mode) & 0o777
}

/** The list of an object: the one that was set, else what it inherited, else its mode. */
function listOf(path, depth = 0) {
  const stat = lookAt(path)
  const isDirectory = stat.isDirectory()
  const kept = readKept(stat, isDirectory)
  if (kept) return { stat, entries: kept.entries }
  const above = depth < 64 && !isTop(path) ? inheritedFrom(path, stat, isDirectory, depth) : []
  if (above.length === 0) return { stat, entries: listOfMode(bitsOf(stat), isDirectory) }
  keep(stat, above, stat.birthtimeNs)
  return { stat, entries: above }
}

/** Nothing is inherited across a junction: the root of a fileset stands for itself. */
function isTop(path) {
  return path === settings.mountPoint || settings.filesets.some((fileset) => fileset.path === path)
}

function inheritedFrom(path, stat, isDirectory, depth) {
  const parent = listOf(dirname(path), depth + 1)
  const since = readKept(parent.stat, true)?.since
  // Older objects keep what they had.
  return since === undefined || BigInt(since) > stat.birthtimeNs ? [] : inherited(parent.entries, isDirectory)
}

/** A list that was kept; after a chmod the one of the new mode. */
function readKept(stat, isDirectory) {
  const file = fileOf(stat)
  if (!existsSync(file)) return undefined
  const kept = JSON.parse(readFileSync(file, 'utf8'))
  if (kept.mode === bitsOf(stat)) return kept
  return keep(stat, listOfMode(bitsOf(stat), isDirectory), stat.ctimeNs)
}

/** `since`: what is made from then on inherits from it. */
function keep(stat, entries, since) {
  mkdirSync(join(directory, 'acls'), { recursive: true })
  const kept = { since: String(since), mode: bitsOf(stat), entries }
  writeFileSync(fileOf(stat), JSON.stringify(kept))
  return kept
}

function setList(path, entries) {
  const mode = Number(lookAt(path).mode)
  // Also where the bits are the same: this moves ctime, as every change of an ACL does.
  chmodSync(path, (mode & 0o7000) | modeOfList(entries))
  const stat = lookAt(path)
  keep(stat, entries, stat.ctimeNs)
}

function nameOf(database, id) {
  const known = settings.names?.[database]?.[String(id)]
  if (known) return known
  try {
    return execFileSync('getent', [database, String(id)], { encoding: 'utf8' }).split(':')[0]
  } catch {
    return String(id)
  }
}

// ---- commands ----

function mmgetacl() {
  if (args[0] !== '-k' || args[1] !== 'nfs4' || args.length !== 3) throw new Trouble('usage', 1)
  const { stat, entries } = listOf(args[2])
  return printList(stat, entries)
}

function mmputacl() {
  if (args.length !== 1) throw new Trouble('usage', 1)
  if (settings.aclSemantics === 'posix') throw new Trouble('the file system keeps no NFSv4 ACLs', 95)
  const text = readFileSync(0, 'utf8')
  setList(args[0], parseList(text))
  return ''
}

function percent(value) {
  return encodeURIComponent(String(value)).replaceAll('%20', ' ')
}

function printRows(columns, rows) {
  const line = (fields) => `${[command, '', ...fields].join(':')}:\n`
  const data = rows.map((row) => line(['0', '1', '', '', ...columns.map((name) => percent(row[name] ?? ''))]))
  return line(['HEADER', 'version', 'reserved', 'reserved', ...columns]) + data.join('')
}

function mmlsfs() {
  const values = { ACLSemantics: settings.aclSemantics, defaultMountPoint: settings.mountPoint }
  const rows = Object.entries(values).map(([fieldName, data]) => ({ deviceName: settings.fileSystem, fieldName, data }))
  return printRows(['deviceName', 'fieldName', 'data', 'remarks'], rows)
}

function mmlsfileset() {
  const columns =
    'filesystemName filesetName id rootInode status path parentId created inodes dataInKB comment inodeSpace isInodeSpaceOwner'
  const rows = settings.filesets.map((fileset, id) => ({
    filesystemName: settings.fileSystem,
    filesetName: fileset.name,
    id,
    status: fileset.path === undefined ? 'Unlinked' : 'Linked',
    path: fileset.path ?? '--',
    created: 'Wed May 18 10:41:35 2016',
    comment: fileset.comment,
    isInodeSpaceOwner: fileset.independent ? 1 : 0,
  }))
  return printRows(columns.split(' '), rows)
}

function mmlsquota() {
  const type = { '-u': 'USR', '-g': 'GRP', '-j': 'FILESET' }[args[0]]
  const [device, fileset] = (args[3] ?? '').split(':')
  if (!type || args[2] !== '-Y' || device !== settings.fileSystem) throw new Trouble('usage', 1)
  const columns =
    'filesystemName quotaType id name blockUsage blockQuota blockLimit blockInDoubt blockGrace filesUsage filesQuota filesLimit filesInDoubt filesGrace remarks quota defQuota fid filesetname'
  const ours = settings.quotas.filter(
    (quota) =>
      quota.quotaType === type &&
      (quota.name === args[1] || String(quota.id) === args[1]) &&
      (fileset === undefined || quota.filesetname === fileset),
  )
  const rows = ours.map((quota) => ({
    filesystemName: device,
    blockGrace: 'none',
    filesGrace: 'none',
    quota: 'on',
    defQuota: 'off',
    ...quota,
  }))
  return printRows(columns.split(' '), rows)
}

function mmlssnapshot() {
  if (settings.snapshots.length === 0) return `No snapshots in file system ${settings.fileSystem}\n`
  const columns = 'filesystemName directory snapID status created quotas data metadata fileset snapType'
  const rows = settings.snapshots.map((snapshot, snapID) => ({
    filesystemName: settings.fileSystem,
    directory: snapshot.name,
    snapID,
    status: snapshot.status ?? 'Valid',
    created: new Date(snapshot.created)
      .toUTCString()
      .replace(/^(\w+), (\d+) (\w+) (\d+) ([\d:]+) GMT$/, '$1 $3 $2 $5 $4'),
    fileset: snapshot.fileset,
  }))
  return printRows(columns.split(' '), rows)
}

// ---- faults ----

/** The fault for this call, and one less of those that are counted. */
function takeFault() {
  const file = join(directory, 'faults.json')
  if (!existsSync(file)) return undefined
  const faults = JSON.parse(readFileSync(file, 'utf8'))
  const fault = faults[command]
  if (!fault || fault.times === 0) return undefined
  if (fault.times !== undefined) {
    fault.times -= 1
    writeFileSync(file, JSON.stringify(faults))
  }
  return fault
}

/** What somebody else does while the command runs. */
function meanwhile(acts) {
  for (const act of acts ?? []) {
    if (act.rename) renameSync(act.rename[0], act.rename[1])
    if (act.setAcl) setList(act.setAcl[0], parseList(act.setAcl[1]))
  }
}

function main() {
  appendFileSync(
    join(directory, 'calls'),
    `${JSON.stringify({ command, args, locale: process.env.LC_ALL, environment: Object.keys(process.env) })}\n`,
  )
  const fault = takeFault() ?? {}
  if (fault.hang) {
    // Also something it has started, which must end with it.
    execFileSync('sleep', ['600'])
  }
  meanwhile(fault.before)
  if (fault.stderr !== undefined) process.stderr.write(fault.stderr)
  if (fault.garbage !== undefined) return print(fault.garbage, fault)
  if (fault.hex !== undefined) return print(Buffer.from(fault.hex, 'hex'), fault)
  if (fault.flood) return print('x'.repeat(fault.flood), fault)
  const output = { mmgetacl, mmputacl, mmlsquota, mmlsfileset, mmlssnapshot, mmlsfs }[command]()
  meanwhile(fault.after)
  return print((fault.noise ?? '') + output.slice(0, fault.cutAt ?? output.length), fault)
}

function print(output, fault) {
  process.stdout.write(output)
  if (fault.exit !== undefined) process.exitCode = fault.exit
  if (fault.signal !== undefined) process.kill(process.pid, fault.signal)
}

try {
  main()
} catch (error) {
  if (!(error instanceof Trouble)) throw error
  process.stderr.write(`${command}: [E:${error.code}] ${error.message}\n`)
  process.exitCode = error.code
}
