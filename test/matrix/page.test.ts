/** What docs/identity.md promises of names: its configuration is one, and its rules are those that the gateway tells. */

import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { parseConfig } from '../../gateway/config.ts'
import { configurationOfPage, rulesOfPage } from './page.ts'

const home = resolve(import.meta.dirname, '../..')

t.test('the pieces of the page are one configuration', async (t) => {
  const config = parseConfig(configurationOfPage(), '/etc/portolan/portolan.yaml')
  t.equal(config.accounts.length, 2)
  t.equal(config.kerberos?.realm, 'EXAMPLE.ORG')
  t.equal(config.issuers.length, 2)
})

t.test('the rules that the page names are those of the sources', async (t) => {
  const files = globSync('{acl,gateway}/**/*.ts', { cwd: home })
  const text = files.map((file) => readFileSync(resolve(home, file), 'utf8')).join('\n')
  const rules = rulesOfPage()
  t.ok(rules.size > 25, `${rules.size} rules`)
  for (const rule of rules) t.ok(text.includes(`'${rule}'`), rule)
})
