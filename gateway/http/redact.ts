/** Request-targets for logs: what opens doors is taken out, what is not printable is escaped. */

/** Parameters whose value is, or signs, a credential. */
const secretParameters = new Set([
  'authz',
  'access_token',
  'token',
  'id_token',
  'refresh_token',
  'authorization',
  'client_secret',
  'client_assertion',
  'assertion',
  'api_key',
  'code',
  'state',
  'password',
  'secret',
  'signature',
  'awsaccesskeyid',
  'x-amz-signature',
  'x-amz-credential',
  'x-amz-security-token',
  'webidentitytoken',
  'key',
  'sig',
])
const maxLength = 2048
/** An upload under way: who knows its id and has its owner's credential goes on with it. */
const upload = /^((?:https?:\/\/[^/]*)?\/\.portolan\/(?:api\/v1\/)?uploads\/)([\w-]{6})[\w-]{26}(?=\/?$)/i

/** The target with secrets replaced by `[secret]`, ids of uploads cut short, userinfo cut out, at most 2,048 characters. */
export function redactTarget(target: string): string {
  const bare = target.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1')
  const cut = bare.indexOf('?')
  const path = (cut < 0 ? bare : bare.slice(0, cut)).replace(upload, '$1$2[secret]')
  const query =
    cut < 0
      ? ''
      : `?${bare
          .slice(cut + 1)
          .split(/([&;?#])/)
          .map(redactParameter)
          .join('')}`
  return escapeControls(`${path}${query}`.slice(0, maxLength))
}

function redactParameter(parameter: string): string {
  const equals = parameter.indexOf('=')
  if (equals < 0) return parameter
  const name = parameter.slice(0, equals)
  return secretParameters.has(decodeName(name)) ? `${name}=[secret]` : parameter
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', ' ')).trim().toLowerCase()
  } catch {
    // Not decodable, so no parser of ours reads a secret from it under another name.
    return name.toLowerCase()
  }
}

function escapeControls(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
