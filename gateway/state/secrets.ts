/**
 * What the state store must keep secret (keys of S3, secrets of macaroons) is sealed with a master
 * key that lies in a file of its own, so that a copy of the database alone opens nothing.
 *
 * The key file holds one key a line, 32 bytes in hex or base64; `#` begins a comment. The first key
 * seals, all of them open. To rotate: put the new key first, keep the old one below, reload, call
 * `rotate`, then take the old line out.
 */

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import type { State } from './state.ts'

const cipher = 'aes-256-gcm'
const ivBytes = 12
const tagBytes = 16
const keyBytes = 32

/** One master key. Its bytes cannot be printed. */
export class MasterKey {
  /** Names the key without telling it: the first 8 bytes of a hash over it, in hex. */
  readonly id: string
  readonly #bytes: Buffer

  constructor(bytes: Uint8Array) {
    if (bytes.length !== keyBytes) throw new StorageError('invalid', `a master key has ${keyBytes} bytes`)
    this.#bytes = Buffer.from(bytes)
    this.id = createHash('sha256').update('portolan master key id\0').update(bytes).digest('hex').slice(0, 16)
  }

  /** `context` says what the value is for; a sealed value opens under the same context only. */
  seal(plain: Secret, context: string): string {
    const iv = randomBytes(ivBytes)
    const sealing = createCipheriv(cipher, this.#bytes, iv, { authTagLength: tagBytes })
    sealing.setAAD(Buffer.from(`${this.id}\0${context}`))
    const body = Buffer.concat([sealing.update(plain.reveal(), 'utf8'), sealing.final()])
    return `v1.${this.id}.${Buffer.concat([iv, body, sealing.getAuthTag()]).toString('base64url')}`
  }

  /** Throws `internal` for what this key did not seal for this context, or what was changed since. */
  open(sealed: string, context: string): Secret {
    const [version, id, text = ''] = sealed.split('.')
    const bytes = Buffer.from(text, 'base64url')
    if (version !== 'v1' || id !== this.id || bytes.length < ivBytes + tagBytes) throw cannotOpen()
    const opening = createDecipheriv(cipher, this.#bytes, bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
    opening.setAAD(Buffer.from(`${this.id}\0${context}`))
    opening.setAuthTag(bytes.subarray(-tagBytes))
    try {
      const body = opening.update(bytes.subarray(ivBytes, -tagBytes))
      return new Secret(Buffer.concat([body, opening.final()]).toString('utf8'))
    } catch (cause) {
      throw cannotOpen(cause)
    }
  }
}

function cannotOpen(cause?: unknown): StorageError {
  return new StorageError('internal', 'a sealed value cannot be opened', { cause })
}

/** The keys of a key file, the sealing one first. Throws `invalid` for anything that is not a key. */
export function parseMasterKeys(text: Secret): readonly MasterKey[] {
  const keys: MasterKey[] = []
  for (const line of text.reveal().split('\n')) {
    const word = line.replace(/#.*/, '').trim()
    if (word !== '') keys.push(new MasterKey(decodeKey(word)))
  }
  if (keys.length === 0) throw new StorageError('invalid', 'the master key file holds no key')
  return keys
}

function decodeKey(word: string): Uint8Array {
  if (/^[0-9a-fA-F]{64}$/.test(word)) return Buffer.from(word, 'hex')
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(word)) return Buffer.from(word, 'base64')
  throw new StorageError('invalid', 'a line of the master key file is not 32 bytes in hex or base64')
}

/** The secrets of one gateway installation, by name. */
export class SecretStore {
  readonly #state: State
  readonly #keys: readonly MasterKey[]
  readonly #sealing: MasterKey

  private constructor(state: State, keys: readonly MasterKey[], sealing: MasterKey) {
    this.#state = state
    this.#keys = keys
    this.#sealing = sealing
  }

  /**
   * Checks the keys against the store, so that a wrong key file is noticed at start and not when
   * the first secret fails to open. Throws `invalid` when none of the keys is the store's.
   */
  static async open(state: State, keys: readonly MasterKey[]): Promise<SecretStore> {
    const [sealing] = keys
    if (!sealing) throw new StorageError('invalid', 'there is no master key')
    const store = new SecretStore(state, keys, sealing)
    const check = await state.getSetting(checkName)
    if (check === undefined) {
      await state.setSetting(checkName, sealing.seal(new Secret(checkText), checkName))
    } else if (store.#keyOf(check)?.open(check, checkName).reveal() !== checkText) {
      throw new StorageError('invalid', 'the master key is not the one that sealed this state store')
    }
    return store
  }

  /** Throws `internal` when the value was sealed by a key that is no longer in the file. */
  async get(name: string): Promise<Secret | undefined> {
    const sealed = await this.#state.sealed.get(name)
    return sealed === undefined ? undefined : this.#open(name, sealed)
  }

  async set(name: string, value: Secret): Promise<void> {
    await this.#state.sealed.set(name, this.#sealing.seal(value, name))
  }

  async remove(name: string): Promise<void> {
    await this.#state.sealed.remove(name)
  }

  /** All names in order. */
  names(): Promise<readonly string[]> {
    return this.#state.sealed.names()
  }

  /**
   * Seals everything anew with the first key and tells how many values that were. May be repeated,
   * and run while others write: a value that changes meanwhile is left to the one who changed it.
   */
  async rotate(): Promise<number> {
    let rotated = 0
    for (const name of await this.#state.sealed.names()) {
      const sealed = await this.#state.sealed.get(name)
      if (sealed === undefined || keyIdOf(sealed) === this.#sealing.id) continue
      const anew = this.#sealing.seal(this.#open(name, sealed), name)
      if (await this.#state.sealed.exchange(name, sealed, anew)) rotated += 1
    }
    await this.#state.setSetting(checkName, this.#sealing.seal(new Secret(checkText), checkName))
    return rotated
  }

  #open(name: string, sealed: string): Secret {
    const key = this.#keyOf(sealed)
    if (!key) throw cannotOpen()
    return key.open(sealed, name)
  }

  #keyOf(sealed: string): MasterKey | undefined {
    const id = keyIdOf(sealed)
    return this.#keys.find((key) => key.id === id)
  }
}

const checkName = 'master-key-check'
const checkText = 'portolan'

function keyIdOf(sealed: string): string | undefined {
  return sealed.split('.')[1]
}
