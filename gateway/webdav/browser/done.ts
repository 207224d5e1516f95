/** What a directory's page says after a form has done its work; `?done=` names it, and can say nothing else. */

const words = {
  stored: 'Everything was stored.',
  made: 'The folder was made.',
  deleted: 'It was deleted.',
  renamed: 'It was renamed.',
  staged: 'The file was asked for. It will be on disk after a while.',
} as const

export type Done = keyof typeof words

/** Undefined for what we do not say. */
export function doneWords(code: string | null): string | undefined {
  return code !== null && Object.hasOwn(words, code) ? words[code as Done] : undefined
}
