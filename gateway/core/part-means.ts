/** What all steps of uploads in parts work with. */

import type { Digests } from '../../backends/backend.ts'
import type { PartStore, StoredPart, StoredUpload } from '../state/state.ts'
import type { PartedState, PartState } from './parts.ts'
import type { UploadMeans } from './upload-means.ts'
import { digestsOf, termsOf } from './upload-terms.ts'

export interface PartMeans extends UploadMeans {
  readonly parts: PartStore
}

export function stateOfParted(row: StoredUpload): PartedState {
  const { id, path, created, user } = row
  return { ...{ id, path, created, user }, expires: Math.floor(row.expires / 1000), note: termsOf(row).note }
}

/** Digests are understood when somebody looks at them: there may be ten thousand parts. */
export function stateOfPart({ number, size, modified, digests: text }: StoredPart): PartState {
  let digests: Digests | undefined
  return {
    number,
    size,
    modified,
    get digests() {
      digests ??= digestsOf(JSON.parse(text))
      return digests
    },
  }
}
