/**
 * DeleteBucket. Directories that keys were made with stay when the last object in them goes, and S3 has no word for them:
 * a bucket that holds nothing else is empty, and they go with it.
 */

import type { Call } from '../core/call.ts'
import { StorageError } from '../core/errors.ts'
import { join, type Path } from '../core/path.ts'
import type { StorageOperations } from '../core/storage.ts'
import { respond } from '../http/respond.ts'
import { S3Error } from './error.ts'
import type { BucketRequest, Operation } from './s3-request.ts'

/** Directories of a bucket that is taken for empty. */
const mostDirectories = 10_000

export const deleteBucket: Operation<BucketRequest> = async ({ x, call, settings, bucket }) => {
  if (settings.buckets.isFixed(bucket.name)) {
    throw new S3Error('AccessDenied', 'This bucket is part of the configuration.')
  }
  try {
    await removeEmpty(x.door.storage, call, bucket.path)
  } catch (error) {
    if (StorageError.from(error).code !== 'not-empty') throw error
    const elements = { BucketName: bucket.name }
    throw new S3Error('BucketNotEmpty', 'The bucket you tried to delete is not empty.', { elements, cause: error })
  }
  await respond(x, 204, [])
}

/** Each directory goes by itself, so what somebody puts into one meanwhile keeps it. Throws `not-empty`. */
async function removeEmpty(storage: StorageOperations, call: Call, path: Path): Promise<void> {
  try {
    await storage.remove(call, path)
    return
  } catch (error) {
    if (StorageError.from(error).code !== 'not-empty') throw error
  }
  const directories = [path]
  // What is found is looked into in its turn; those above come before those below.
  for (const directory of directories) {
    for (const name of await directoriesIn(storage, call, directory)) directories.push(join(directory, name))
    if (directories.length > mostDirectories) throw notEmpty(path)
  }
  for (const directory of directories.toReversed()) await storage.remove(call, directory)
}

/** Throws `not-empty` where there is anything else. */
async function directoriesIn(storage: StorageOperations, call: Call, path: Path): Promise<readonly string[]> {
  const names: string[] = []
  const listed = await storage.list(call, path, { names: true })
  for await (const page of listed.pages()) {
    for (const { name, type } of page) {
      if (type !== 'directory' || names.push(name) > mostDirectories) throw notEmpty(path)
    }
  }
  return names
}

function notEmpty(path: Path): StorageError {
  return new StorageError('not-empty', 'there is more than empty directories', { path })
}
