/** What can be done with a directory by forms. They are posted to the directory itself; none needs a script. */

import { escapeHtml } from './page.ts'

export interface DirectoryForms {
  /** What every form brings back, to show that it is ours and the caller's. */
  readonly token: string
  readonly upload: boolean
  readonly mkdir: boolean
}

/** What a row's buttons ask for; each leads to a page that asks for the rest. */
export type RowAct = 'rename' | 'delete' | 'stage'

const rowActs: Readonly<Record<RowAct, string>> = { rename: 'Rename', delete: 'Delete', stage: 'Bring to disk' }

/** The id of the one form that the buttons of all rows belong to. */
const rowsForm = 'rows'

/** Above the table: files, a new folder, and the form of the rows' buttons. */
export function directoryForms({ token, upload, mkdir }: DirectoryForms): string {
  const rows = `<form id="${rowsForm}" method="post" action="./">${hidden('csrf', token)}</form>\n`
  // What is said of the files comes before them: they are stored as they arrive.
  const files = upload
    ? `<form method="post" action="./" enctype="multipart/form-data">${hidden('csrf', token)}
<p><input id="replace" type="checkbox" name="replace" value="yes"> <label for="replace">Replace files that have the same name</label></p>
<p><label for="files">Add files</label> <input id="files" type="file" name="files" multiple required></p>
<p><button type="submit">Upload</button></p>
</form>\n`
    : ''
  const folder = mkdir
    ? `<form method="post" action="./">${hidden('csrf', token)}
<p><label for="folder">New folder</label> <input id="folder" name="mkdir" required maxlength="255" autocomplete="off"> <button type="submit">Create</button></p>
</form>\n`
    : ''
  return upload || mkdir
    ? `${rows}<details><summary>Add files or folders</summary>\n${files}${folder}</details>\n`
    : rows
}

/** A button of a row. The entry is named as in its link: text of a form has its line ends changed on the way. */
export function rowForm(act: RowAct, href: string, of: string): string {
  const name = href.replace(/^\.\//, '').replace(/\/$/, '')
  return `<button form="${rowsForm}" name="${act}" value="${escapeHtml(name)}">${rowActs[act]}${of}</button>`
}

/** A field that nobody sees. */
export function hidden(name: string, value: string): string {
  return `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`
}
