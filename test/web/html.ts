/** A strict look at our pages: every tag closed, every attribute quoted, every label and control with a name. */

import { SaxesParser } from 'saxes'

export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly parent: Element | undefined
  readonly children: Element[]
  /** With that of everything in it. */
  text: string
}

const empty = /<(meta|input|wbr|br)\b((?:[^<>"]|"[^"]*")*)>/g
const flags = /(<(?:input|form|details)\b(?:[^<>"]|"[^"]*")*?)\s(multiple|required|open|checked)(?=[\s/>])/g

/** All elements in their order. Throws where the page, written as XML, would not be well-formed. */
export function elementsOf(page: string): Element[] {
  let xml = page.replace(/^<!doctype html>\n/, '').replace(/<style>[^<]*<\/style>/, '<style></style>')
  if (xml === page) throw new Error('no doctype')
  xml = xml.replace(empty, '<$1$2/>')
  for (let before = ''; before !== xml; ) {
    before = xml
    xml = xml.replace(flags, '$1 $2="$2"')
  }
  const all: Element[] = []
  let at: Element | undefined
  const parser = new SaxesParser()
  parser.on('error', (error) => {
    throw error
  })
  parser.on('opentag', ({ name, attributes }) => {
    const element: Element = { name, attributes, parent: at, children: [], text: '' }
    at?.children.push(element)
    all.push(element)
    at = element
  })
  parser.on('text', (text) => {
    for (let element = at; element; element = element.parent) element.text += text
  })
  parser.on('closetag', () => {
    at = at?.parent
  })
  parser.write(xml).close()
  return all
}

/** What somebody who cannot see the page would miss, one line each. */
export function barriersOf(elements: readonly Element[]): string[] {
  const ids = elements.map(({ attributes }) => attributes.id).filter((id) => id !== undefined)
  const labelled = new Set(elements.filter(({ name }) => name === 'label').map(({ attributes }) => attributes.for))
  const missing: string[] = []
  if (new Set(ids).size !== ids.length) missing.push('an id twice')
  for (const id of labelled) if (id === undefined || !ids.includes(id)) missing.push(`a label for nothing: ${id}`)
  for (const { name, attributes, text } of elements) {
    const { type, id = '', form } = attributes
    if (name === 'input' && type !== 'hidden' && !labelled.has(id)) missing.push(`a field without a label: ${id}`)
    if ((name === 'a' || name === 'button') && text.trim() === '') missing.push(`a ${name} without text`)
    if (name === 'th' && attributes.scope === undefined) missing.push('a th without scope')
    if (form !== undefined && !ids.includes(form)) missing.push(`a button of no form: ${form}`)
    if (name === 'html' && attributes.lang === undefined) missing.push('no language')
    if (Object.keys(attributes).some((each) => each.startsWith('on') || each === 'style')) missing.push('a script')
  }
  const count = (name: string) => elements.filter((each) => each.name === name).length
  if (count('main') !== 1 || count('h1') !== 1) missing.push('not one main and one h1')
  if (count('table') !== count('caption')) missing.push('a table without a caption')
  return missing
}
