/** The pages in a real browser, which runs no script of theirs: there is none. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { alice, ask, callOf, openDoor } from '../http/door.ts'
import { Browser, noBrowser } from './chromium.ts'
import { fill } from './world.ts'

t.test('a person uploads, renames, makes and deletes', { skip: noBrowser }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'portolan-web-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const setting = await openDoor(t)
  const { port, storage } = setting
  await fill(setting, { 'there.txt': 'old' })
  const big = Buffer.alloc(5_000_000, 'b')
  const files = { 'there.txt': Buffer.from('new'), 'ünï "q".bin': big, empty: Buffer.alloc(0) }
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), bytes)
  const browser = await Browser.open(t)
  await browser.command('Network.setExtraHTTPHeaders', { headers: { Authorization: 'Bearer alice' } })
  const here = `http://localhost:${port}/data/`
  const text = () => browser.ask('document.querySelector("main").innerText')
  await browser.open(here)
  await browser.click('summary')
  const chosen = Object.keys(files).map((name) => join(directory, name))
  await browser.choose('#files', chosen)
  await browser.going(() => browser.click('form[enctype] button'))
  t.match(await text(), /Not stored\s+there\.txt: there is something of this name already\s+Stored/)
  // So browsers write a quotation mark in a name (HTML standard, "Multipart form data").
  const stored = await ask(port, 'GET', `/data/${encodeURIComponent('ünï %22q%22.bin')}`)
  t.ok(stored.body.equals(big), `${stored.status}, ${stored.body.length} bytes: ${stored.text.slice(0, 200)}`)
  t.equal((await ask(port, 'GET', '/data/empty')).status, 200)

  await browser.open(here)
  await browser.click('summary')
  await browser.choose('#files', [join(directory, 'there.txt')])
  await browser.click('#replace')
  await browser.going(() => browser.click('form[enctype] button'))
  t.equal(await browser.ask('location.href'), `${here}?done=stored`)
  t.equal((await ask(port, 'GET', '/data/there.txt')).text, 'new')

  await browser.click('summary')
  await browser.click('#folder')
  await browser.type('Neuer Ordner')
  await browser.going(() => browser.click('#folder + button'))
  t.match(await text(), 'The folder was made.')
  t.equal((await storage.stat(callOf(alice), parsePath('/data/Neuer Ordner'))).type, 'directory')

  await browser.going(() => browser.click('button[name=rename][value=empty]'))
  await browser.ask('document.querySelector("#to").select()')
  await browser.click('#to')
  await browser.ask('document.querySelector("#to").select()')
  await browser.type('renamed')
  await browser.going(() => browser.click('button'))
  t.match(await text(), 'It was renamed.')
  await browser.going(() => browser.click('button[name=delete][value=renamed]'))
  t.match(await text(), 'It cannot be taken back.')
  await browser.going(() => browser.click('button'))
  t.match(await text(), 'It was deleted.')
  t.notMatch(await text(), 'renamed\t')
  t.strictSame(browser.complaints, [], 'the browser had nothing to complain of')
})

t.test('the page is a table for who hears it, wide and narrow, and fits', { skip: noBrowser }, async (t) => {
  const setting = await openDoor(t)
  await fill(setting, {
    'a very long name, as people give them to their files, of Thursday (final).txt': 'x',
    sub: null,
  })
  const browser = await Browser.open(t)
  await browser.command('Network.setExtraHTTPHeaders', { headers: { Authorization: 'Bearer alice' } })
  for (const width of [1400, 1000, 320]) {
    for (const scheme of ['light', 'dark'] as const) {
      await browser.open(`http://localhost:${setting.port}/data/?sort=size`)
      const picture = await browser.picture(width, scheme)
      t.ok(picture.length > 5000, `${width} ${scheme}: ${picture.length} bytes`)
      t.ok(
        (await browser.ask('document.documentElement.scrollWidth <= innerWidth')) === true,
        `${width}: nothing sticks out`,
      )
      const { nodes } = (await browser.command('Accessibility.getFullAXTree')) as unknown as {
        readonly nodes: readonly Node[]
      }
      const roles = nodes.filter(({ ignored }) => !ignored).map(({ role }) => role?.value)
      for (const role of ['banner', 'navigation', 'main', 'table', 'caption', 'columnheader', 'rowheader', 'cell']) {
        t.ok(roles.includes(role), `${width}: there is a ${role}`)
      }
    }
  }
})

interface Node {
  readonly ignored: boolean
  readonly role?: { readonly value: string }
}

/** Texts with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3), seen from inside the page. */
const weakTexts = `() => {
  const channels = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number)
  const linear = (c) => (c <= 10.31 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4)
  const luminance = (color) => {
    const [r, g, b] = channels(color).map(linear)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    if (!element) return 'rgb(255, 255, 255)'
    const { backgroundColor } = getComputedStyle(element)
    return channels(backgroundColor)[3] === 0 ? behind(element.parentElement) : backgroundColor
  }
  const weak = []
  let looked = 0
  for (const element of document.querySelectorAll('body *')) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue
    looked++
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(behind(element))].sort((x, y) => y - x)
    const contrast = (a + 0.05) / (b + 0.05)
    if (!(contrast >= 4.5)) weak.push(element.textContent + ' ' + contrast)
  }
  return { looked, weak }
}`

t.test('text stands out from what is behind it', { skip: noBrowser }, async (t) => {
  const setting = await openDoor(t, { mount: { note: 'A note' } })
  await fill(setting, { a: 'x' })
  const browser = await Browser.open(t)
  await browser.command('Network.setExtraHTTPHeaders', { headers: { Authorization: 'Bearer alice' } })
  for (const path of ['/data/?done=stored', '/data/none']) {
    for (const scheme of ['light', 'dark'] as const) {
      await browser.open(`http://localhost:${setting.port}${path}`)
      await browser.picture(1200, scheme)
      const { looked, weak } = (await browser.ask(`(${weakTexts})()`)) as { looked: number; weak: string[] }
      t.strictSame(weak, [], `${path} in ${scheme}`)
      t.ok(looked > 8, `${looked} texts`)
    }
  }
})
