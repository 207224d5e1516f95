/** An entry as a directory sent it: names of attributes ignore case, options are kept apart, nothing is believed yet. */

import type { Entry } from 'ldapts'

/** Values of an attribute that came in part: Active Directory's `member;range=0-1499`. */
export interface RangedValues {
  readonly values: readonly string[]
  /** Where the next part begins; undefined for the last one. */
  readonly next: number | undefined
}

export class LdapEntry {
  readonly dn: string
  readonly #values = new Map<string, readonly (string | Buffer)[]>()
  readonly #ranges = new Map<string, RangedValues>()

  constructor(entry: Entry) {
    this.dn = entry.dn
    for (const [description, given] of Object.entries(entry)) {
      if (description === 'dn') continue
      const values = Array.isArray(given) ? given : [given]
      const [type = '', option, ...more] = description.toLowerCase().split(';')
      if (option === undefined) this.#values.set(type, values)
      else if (more.length === 0) this.#takeRange(type, option, values)
      // With any other option (a language, `binary`) it is another attribute than the one that was asked for.
    }
  }

  /** Undefined when some value is no text. */
  texts(attribute: string): readonly string[] | undefined {
    return onlyTexts(this.#values.get(attribute.toLowerCase()) ?? [])
  }

  bytes(attribute: string): Buffer | undefined {
    const [value, ...more] = this.#values.get(attribute.toLowerCase()) ?? []
    if (value === undefined || more.length > 0) return undefined
    return typeof value === 'string' ? Buffer.from(value) : value
  }

  /** The part of a long attribute that came, if it came in parts. */
  range(attribute: string): RangedValues | undefined {
    return this.#ranges.get(attribute.toLowerCase())
  }

  #takeRange(type: string, option: string, given: readonly (string | Buffer)[]): void {
    const [, last] = /^range=\d{1,9}-(\d{1,9}|\*)$/.exec(option) ?? []
    const values = onlyTexts(given)
    // What was asked for and did not come, the library shows as empty.
    if (last === undefined || values === undefined || values.length === 0) return
    this.#ranges.set(type, { values, next: last === '*' ? undefined : Number(last) + 1 })
  }
}

function onlyTexts(values: readonly (string | Buffer)[]): readonly string[] | undefined {
  const texts = values.filter((value) => typeof value === 'string')
  return texts.length === values.length ? texts : undefined
}
