/** Which of several representations the caller prefers (RFC 9110, section 12.5.1). */

const maxRanges = 64

/**
 * The first of `offers` that is accepted best, by exact type, then type/*, then *&#47;*. With no
 * header, or one that accepts none of them, the first offer: an answer in the wrong words helps more than none.
 */
export function preferred<Offer extends string>(
  header: string | undefined,
  offers: readonly [Offer, ...Offer[]],
): Offer {
  const fallback = offers[0]
  if (header === undefined || header === '*/*') return fallback
  const quality = new Map<string, number>()
  for (const part of header.split(',', maxRanges)) {
    const [type = '', ...parameters] = part.split(';').map((each) => each.trim().toLowerCase())
    const q = parameters.find((each) => each.startsWith('q='))
    quality.set(type, q === undefined ? 1 : Number(q.slice(2)) || 0)
  }
  let best: { readonly offer: Offer; readonly q: number } = { offer: fallback, q: 0 }
  for (const offer of offers) {
    const q = quality.get(offer) ?? quality.get(`${offer.slice(0, offer.indexOf('/'))}/*`) ?? quality.get('*/*') ?? 0
    if (q > best.q) best = { offer, q }
  }
  return best.offer
}

/** Whether a person with a browser is asking: text/html is named, and JSON is not liked as well. */
export function wantsHtml(header: string | undefined): boolean {
  return header?.includes('text/html') === true && preferred(header, ['application/json', 'text/html']) === 'text/html'
}
