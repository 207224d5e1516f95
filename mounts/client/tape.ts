/** What the tape interface of the gateway tells (WLCG Tape REST API v1), read with suspicion. */

import { members, strange } from './members.ts'

const states = ['SUBMITTED', 'STARTED', 'CANCELLED', 'FAILED', 'COMPLETED'] as const
const localities = ['DISK', 'TAPE', 'DISK_AND_TAPE', 'UNAVAILABLE', 'LOST', 'NONE'] as const

export interface StagedFile {
  readonly path: string
  readonly state: (typeof states)[number]
  /** Why it failed. */
  readonly error?: string
}

export interface StageStatus {
  readonly id: string
  readonly createdAt: number
  readonly completedAt?: number
  readonly files: readonly StagedFile[]
}

/** Where a file is, or why that is not told. */
export interface ArchiveInfo {
  readonly path: string
  readonly locality?: (typeof localities)[number]
  readonly error?: string
}

/** The id of a request that was made. */
export function readRequestId(value: unknown): string {
  const { requestId } = members(value)
  if (typeof requestId !== 'string' || !/^[0-9A-Za-z-]{1,64}$/.test(requestId)) throw strange('requestId')
  return requestId
}

export function readStageStatus(value: unknown): StageStatus {
  const { id, createdAt, completedAt, files } = members(value)
  if (typeof id !== 'string' || typeof createdAt !== 'number' || !Array.isArray(files)) throw strange('request')
  return { id, createdAt, ...(typeof completedAt === 'number' && { completedAt }), files: files.map(readFile) }
}

export function readArchiveInfo(value: unknown): readonly ArchiveInfo[] {
  if (!Array.isArray(value)) throw strange('list')
  return value.map((item) => {
    const { path, locality: given, error } = members(item)
    if (typeof path !== 'string') throw strange('path')
    const locality = localities.find((one) => one === given)
    return { path, ...(locality && { locality }), ...(typeof error === 'string' && { error }) }
  })
}

/** Whether nothing more will happen to the file. */
export function isFinal({ state }: StagedFile): boolean {
  return state !== 'SUBMITTED' && state !== 'STARTED'
}

function readFile(value: unknown): StagedFile {
  const { path, state: given, onDisk, error } = members(value)
  if (typeof path !== 'string') throw strange('path')
  const state = states.find((one) => one === given) ?? (onDisk === true ? 'COMPLETED' : undefined)
  if (!state) throw strange('state')
  return { path, state, ...(typeof error === 'string' && { error }) }
}
