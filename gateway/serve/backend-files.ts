/** What a back end's section of the configuration names on this machine. */

import { dirname } from 'node:path'
import type { SecretRef } from '../config/schema.ts'
import type { MountConfig } from '../config.ts'

type BackendConfig = MountConfig['backend']

/** The top of a directory tree; nothing for storage that is reached over the network. */
export function topOf(backend: BackendConfig): readonly string[] {
  return backend.type === 'dcache' || backend.type === 's3' ? [] : [backend.root]
}

/** Data threads that a process runs for it. */
export function dataThreadsOf(backend: BackendConfig): number {
  return backend.type === 'dcache' || backend.type === 's3' ? 0 : backend.dataThreads
}

/** PEM files with certificates. */
export function certificatesOf(backend: BackendConfig): readonly string[] {
  const files = (): readonly (string | undefined)[] => {
    if (backend.type === 'posix') return []
    if (backend.type === 's3') return [backend.ca]
    if (backend.type === 'dcache') return [backend.ca, backend.exchange?.ca]
    return [backend.rest?.ca]
  }
  return files().filter((file) => file !== undefined)
}

/** Directories of programs that it runs: where it is said, what they need lies beside them. */
export function programsOf(backend: BackendConfig): readonly string[] {
  if (backend.type !== 'gpfs' && backend.type !== 'dust') return []
  return backend.commands.directory === undefined ? [] : [dirname(backend.commands.directory)]
}

/** Where its secrets are. */
export function secretsOf(backend: BackendConfig): readonly SecretRef[] {
  const refs = (): readonly (SecretRef | undefined)[] => {
    if (backend.type === 'posix') return []
    if (backend.type === 's3') return [backend.secretAccessKey]
    if (backend.type === 'dcache') return [backend.exchange?.secret, backend.service?.token, backend.service?.password]
    return [backend.rest?.password]
  }
  return refs().filter((ref) => ref !== undefined)
}
