/** What the makers of back ends share. */

import { Secret } from '../../acl/secret.ts'
import type { BackendServices } from '../../backends/backend.ts'
import type { SecretRef } from '../config/schema.ts'
import { readSecret } from '../config/secret-file.ts'
import type { MountConfig } from '../config.ts'
import type { Logger } from './log.ts'

/** What back ends are made with. */
export interface Means {
  /** Tops that root opened for native mounts, by path. */
  readonly roots: ReadonlyMap<string, number>
  readonly services: BackendServices
  readonly log: Logger
}

/** The section of a kind of back end. */
export type Section<Type> = Extract<MountConfig['backend'], { type: Type }>

/** A password or token: files that hold one end in a line break that is not its. */
export async function readWord(ref: SecretRef): Promise<Secret> {
  return new Secret((await readSecret(ref)).reveal().replace(/\r?\n$/, ''))
}
