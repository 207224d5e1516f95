/** What `portolan check` finds out about Storage Scale: who answers for ACLs, what can be stored, where filesets are. */

import { StorageError } from '../../gateway/core/errors.ts'
import type { Finding } from '../backend.ts'
import type { Filesets } from './filesets.ts'
import type { Fresh } from './fresh.ts'
import type { GpfsOptions } from './options.ts'
import type { FileSystemSettings } from './providers.ts'

export interface Checked {
  readonly options: GpfsOptions
  readonly rootPath: string
  readonly settings: Fresh<FileSystemSettings> | undefined
  readonly filesets: Filesets
  readonly trouble: ReadonlyMap<string, number>
}

/** ms that each question may take. */
const patience = 30_000

/** Asks the real thing. Changes nothing. */
export async function checkScale(checked: Checked): Promise<readonly Finding[]> {
  const findings = [await aclProvider(checked)]
  if (checked.settings) findings.push(await semantics(checked.settings), await filesets(checked.filesets))
  for (const [word, count] of checked.trouble) {
    findings.push({ subject: word, level: 'warning', text: `met ${count} times since the start` })
  }
  return findings
}

async function aclProvider({ options, rootPath }: Checked): Promise<Finding> {
  const { scale, library, grade } = options
  const subject = 'acl-provider'
  if (library !== undefined) return { subject, level: 'ok', text: 'libgpfs, by descriptor' }
  if (!scale) return { subject, level: 'warning', text: 'none: ACLs are neither shown nor set' }
  const { kind } = scale.acls
  return attempt(subject, async (signal) => {
    const { acl, writable } = await scale.acls.read(rootPath, signal)
    const about = `${kind}, by path: the top directory has ${acl.aces.length} entries`
    if (!writable) return { subject, level: 'warning', text: `${about}, not all of them understood: it is not written` }
    if (grade === 'gateway') return { subject, level: 'ok', text: about }
    return { subject, level: 'warning', text: `${about}; they are shown and not set, which takes libgpfs here` }
  })
}

function semantics(settings: Fresh<FileSystemSettings>): Promise<Finding> {
  const subject = 'acl-kind'
  return attempt(subject, async (signal) => {
    const { aclSemantics } = await settings.get(signal)
    if (aclSemantics === undefined) return { subject, level: 'warning', text: 'the -k setting is not told' }
    const text = `-k ${aclSemantics}`
    if (aclSemantics !== 'posix') return { subject, level: 'ok', text }
    return { subject, level: 'warning', text: `${text}: ACLs are shown in translation and cannot be set` }
  })
}

function filesets(of: Filesets): Promise<Finding> {
  const subject = 'filesets'
  return attempt(subject, async (signal) => ({ subject, level: 'ok', text: `${await of.count(signal)} junctions` }))
}

async function attempt(subject: string, work: (signal: AbortSignal) => Promise<Finding>): Promise<Finding> {
  try {
    return await work(AbortSignal.timeout(patience))
  } catch (error) {
    const { code, message } = StorageError.from(error)
    return { subject, level: 'error', text: `${code}: ${message}` }
  }
}
