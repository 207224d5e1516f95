/** The page that explains, in a real browser: it needs no script, and names of others stay text. */

import t from 'tap'
import { parsePath } from '../../gateway/core/path.ts'
import { ace, aclOf, alice, callOf, looking, openDoor, store } from '../http/door.ts'
import { Browser, noBrowser } from './chromium.ts'

t.test('a person who was refused finds out why', { skip: noBrowser }, async (t) => {
  const no = ace({ user: 'bob@desy.de' }, 1, 3, 'deny')
  const { port, storage } = await openDoor(t, { acl: aclOf(no, ace('EVERYONE@', looking)) })
  const name = '<img src=x onerror=alert(1)> "q" & \u202etxt.exe'
  await storage.mkdir(callOf(alice), parsePath('/data/dir'))
  await store(storage, `/data/dir/${name}`, 'x')
  const browser = await Browser.open(t)
  await browser.command('Network.setExtraHTTPHeaders', { headers: { Authorization: 'Bearer bob' } })
  await browser.open(`http://localhost:${port}/data/dir/${encodeURIComponent(name)}`)
  const link = String(await browser.ask('document.querySelector(".next a[href*=explain]").getAttribute("href")'))
  const { pathname, search } = new URL(link)
  // The door's own address has no port here.
  await browser.open(`http://localhost:${port}${pathname}${search}`)
  const text = () => browser.ask('document.querySelector("main").innerText')
  t.match(await text(), `bob@desy.de may not read /data/dir/${name}`)
  t.match(await text(), /Ask alice@desy\.de, the owner of/)
  t.match(await text(), /The ACL: no\. the ACL denies READ_DATA: D::bob@desy\.de:r/)
  t.equal(await browser.ask('document.querySelectorAll("main img, script").length'), 0)
  t.equal(await browser.ask('document.querySelector("#path").value'), `/data/dir/${name}`)
  await browser.ask(
    'document.querySelector("#path").value = "/data/dir"; document.querySelector("#action").value = "list"',
  )
  await browser.going(() => browser.click('form button'))
  t.match(await text(), 'bob@desy.de may not list /data/dir')
  t.equal(await browser.ask('document.documentElement.scrollWidth <= innerWidth'), true)
  await browser.picture(360, 'dark')
  t.equal(await browser.ask('document.documentElement.scrollWidth <= innerWidth'), true, 'nor on a telephone')
  // But for the refusal itself.
  t.same(
    browser.complaints.filter((text) => !text.includes('status of 403')),
    [],
  )
})
