/** Reads secrets from where the configuration says they are, and refuses files that others can read. */

import { constants, type FileHandle, open } from 'node:fs/promises'
import { Secret } from '../../acl/secret.ts'
import { StorageError } from '../core/errors.ts'
import type { SecretRef } from './schema.ts'

const maxBytes = 2 ** 20

/**
 * The text of a secret. Throws `invalid` with a message for the administrator when it is not there,
 * or when its file belongs to a stranger or is open to others.
 */
export async function readSecret(ref: SecretRef): Promise<Secret> {
  if ('file' in ref) return readSecretFile(ref.file)
  const value = process.env[ref.env]
  if (value === undefined || value === '') {
    throw new StorageError('invalid', `the environment variable ${ref.env} is not set`)
  }
  return new Secret(value)
}

async function readSecretFile(file: string): Promise<Secret> {
  return new Secret((await readSecretBytes(file)).toString('utf8'))
}

/** The bytes of a file of secrets. Throws as `readSecret`. */
export async function readSecretBytes(file: string): Promise<Buffer> {
  // A pipe without a writer would keep us waiting before we could see that it is none of ours.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: NodeJS.ErrnoException) => {
    throw new StorageError('invalid', `${file}: cannot be read (${cause.code ?? 'unknown'})`, { cause })
  })
  try {
    await checkFile(handle, file)
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(maxBytes + 1))
    if (bytesRead > maxBytes) throw new StorageError('invalid', `${file}: is longer than 1 MiB`)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** Mode 0600 of ours or root's, or 0640 of root's: a service account reads it through its group. */
async function checkFile(handle: FileHandle, file: string): Promise<void> {
  const { uid, mode } = await handle.stat()
  if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw new StorageError('invalid', `${file}: is not a file`)
  if (uid !== 0 && uid !== process.geteuid?.()) {
    throw new StorageError('invalid', `${file}: belongs to neither root nor the account of the gateway`)
  }
  const open = mode & (uid === 0 ? 0o037 : 0o077)
  if (open !== 0) {
    throw new StorageError('invalid', `${file}: is open to others; set mode 0600, or 0640 where it belongs to root`)
  }
}
