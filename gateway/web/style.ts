/** The looks of our pages: follow the reader's choice of light or dark, and fit on a telephone. */

/**
 * Nothing moves. Contrast is at least 4.5 to 1 for text and 3 to 1 for outlines and edges of controls (WCAG 2.2, 1.4.3 and 1.4.11).
 */
export const style = `
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #59616b; --link: #0a58a8; --line: #d5dae0;
  --edge: #767f8a; --row: #f3f6f9; --good: #14693a; --bad: #a31919; --note: #fff6dc }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e5e8ec; --soft: #a3aab3; --link: #7db8f5;
  --line: #343a42; --edge: #8a939e; --row: #1e2329; --good: #6fd39a; --bad: #ff9a92; --note: #332b12 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 84rem; padding: 0 1rem 3rem; background: var(--back); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word }
a { color: var(--link) }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.skip { position: absolute; left: -100rem }
.skip:focus { left: 1rem; top: .5rem; padding: .5rem; background: var(--back) }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; justify-content: space-between; align-items: baseline;
  padding: .75rem 0; border-bottom: 1px solid var(--line); margin-bottom: 1rem }
.home { font-weight: 700; color: var(--text); text-decoration: none }
header ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; margin: 0; padding: 0 }
h1 { font-size: 1.35rem; font-weight: 600; margin: .75rem 0 }
h2 { font-size: 1.1rem; font-weight: 600; margin: 1.5rem 0 .5rem }
.path { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; justify-content: space-between }
.path p { margin: 0 }
.path ol { display: flex; flex-wrap: wrap; gap: .25rem; list-style: none; margin: 0; padding: 0 }
.path li + li::before { content: "/"; color: var(--soft); margin-right: .25rem }
.about { margin: .75rem 0; padding: 0; list-style: none }
.note { background: var(--note); border-left: 4px solid var(--edge); padding: .5rem .75rem; margin: .75rem 0 }
.bad { color: var(--bad) }
.good { color: var(--good) }
table { border-collapse: collapse; width: 100% }
caption { text-align: left; color: var(--soft); padding: .25rem 0 }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .5rem; text-align: left; vertical-align: top; font-weight: 400 }
thead th { font-weight: 600; white-space: nowrap }
tbody tr:hover { background: var(--row) }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
.date { white-space: nowrap; font-variant-numeric: tabular-nums }
.name { unicode-bidi: isolate; white-space: pre-wrap; overflow-wrap: anywhere }
.who { unicode-bidi: isolate }
.soft { color: var(--soft) }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
code { font: .9em/1.5 ui-monospace, monospace; background: var(--row); padding: .1rem .3rem; white-space: pre-wrap }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem }
dt { color: var(--soft) }
dd { margin: 0 }
form p { margin: .5rem 0 }
label { display: inline-block; margin-right: .5rem }
input[type=checkbox] + label { display: inline }
input, button, select { font: inherit; color: inherit; max-width: 100% }
input:not([type=checkbox]), select { background: var(--back); border: 1px solid var(--edge); border-radius: 4px; padding: .3rem .5rem }
button { background: var(--row); border: 1px solid var(--edge); border-radius: 4px; padding: .3rem .9rem; cursor: pointer }
tbody th { min-width: 14rem }
.acts { min-width: 11rem }
.acts a, .acts button { display: inline-block; margin-right: .6rem; white-space: nowrap }
.acts button { background: none; border: 0; padding: 0; color: var(--link); text-decoration: underline }
.checks > li { margin: .35rem 0 }
summary { cursor: pointer; padding: .35rem 0 }
details form { border-left: 4px solid var(--line); padding: .1rem .75rem; margin: .5rem 0 }
.next { padding-left: 1.25rem }
@media (max-width: 62rem) {
  table, caption, thead, tbody { display: block }
  thead tr { display: flex; flex-wrap: wrap; gap: 0 .75rem }
  tbody tr { display: block; border-bottom: 1px solid var(--line); padding: .5rem 0 }
  th, td { display: inline-block; border: 0; padding: 0 .75rem 0 0 }
  tbody th, .acts { display: block }
  tbody td:empty { display: none }
  thead .plain { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
}
`
