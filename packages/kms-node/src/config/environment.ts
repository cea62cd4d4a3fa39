import { z } from 'zod'
import { nodeConfigFields } from './schema.ts'

/** How the text of one variable becomes a value; the schema judges it afterwards. */
type Coercion = 'text' | 'number' | 'boolean' | 'list'

export interface Setting {
  /** "http.port" as ["http", "port"]; `*` stands for any key of a record. */
  readonly path: readonly string[]
  /** "TKMS_HTTP_PORT", "TKMS_CHAINS_*_RPC". */
  readonly variable: string
  readonly coercion: Coercion
}

/** In a path: any key of a record. */
const ANY = '*'
const NUMBER = /^-?[0-9]+$/

/** Every setting of a configuration file with the variable that overrides it, made from its schema. @param prefix "TKMS" */
export function settingsOf(schema: z.ZodObject, prefix: string, path: readonly string[] = []): Setting[] {
  const found = fieldsOf(schema, prefix, path)
  return found.filter(({ variable }, at) => at === found.findIndex((other) => other.variable === variable))
}

function fieldsOf(schema: z.ZodObject, prefix: string, path: readonly string[]): Setting[] {
  return Object.entries<z.core.$ZodType>(schema.shape).flatMap(([name, field]) => {
    const inner = [...path, name]
    const bare = unwrap(field)
    if (bare.def.type === 'record')
      return settingsOf((bare as z.ZodRecord).valueType as z.ZodObject, prefix, [...inner, ANY])
    if (bare instanceof z.ZodDiscriminatedUnion)
      return bare.options.flatMap((option) => settingsOf(option as z.ZodObject, prefix, inner))
    if (bare.def.type === 'object') return settingsOf(bare as z.ZodObject, prefix, inner)
    return [{ path: inner, variable: variableOf(prefix, inner), coercion: coercionOf(bare) }]
  })
}

function unwrap(field: z.core.$ZodType): z.ZodType {
  const { def } = field as z.ZodType & { def: { innerType?: z.core.$ZodType } }
  return def.innerType === undefined ? (field as z.ZodType) : unwrap(def.innerType)
}

function coercionOf(field: z.ZodType): Coercion {
  const { type } = field.def
  return type === 'number' || type === 'boolean' ? type : type === 'array' ? 'list' : 'text'
}

const variableOf = (prefix: string, path: readonly string[]): string =>
  `${prefix}_${path.map((part) => part.replaceAll(/[A-Z]/g, '_$&').toUpperCase()).join('_')}`

/** Every setting of node.yaml. */
export const SETTINGS: readonly Setting[] = settingsOf(nodeConfigFields, 'TKMS')

/** What a schema finds wrong, one line each: the path, and for what is missing the variable that would give it too. */
export const schemaProblems = (error: z.ZodError, settings: readonly Setting[] = SETTINGS): readonly string[] =>
  error.issues.map(({ path, message }) => {
    const name = path.join('.') || '(the file)'
    if (!message.endsWith('received undefined')) return `${name}: ${message}`
    const setting = settings.find(
      (known) => known.path.length === path.length && known.path.every((part, at) => part === ANY || part === path[at]),
    )
    const any = path.find((_, at) => setting?.path[at] === ANY)
    return `${name}: is missing${setting === undefined ? '' : ` (or ${setting.variable.replace(ANY, String(any))})`}`
  })

/** The document of the file with the variables that are set laid over it. Lists are separated by commas. */
export function overlayEnvironment(
  document: unknown,
  env: Readonly<Record<string, string | undefined>>,
  settings: readonly Setting[] = SETTINGS,
): unknown {
  const given = settings.flatMap((setting) => namedBy(setting, env))
  if (given.length === 0 || !isRecord(document)) return document
  return given.reduce(
    (result, { path, variable, coercion }) => place(result, path, coerce(env[variable] ?? '', coercion)),
    document,
  )
}

/** The setting itself when its variable is set; one for each key of a record that a variable names. */
function namedBy(setting: Setting, env: Readonly<Record<string, string | undefined>>): readonly Setting[] {
  const { path, variable, coercion } = setting
  if (!path.includes(ANY)) return env[variable] === undefined ? [] : [setting]
  const [before = '', after = ''] = variable.split(ANY)
  return Object.keys(env)
    .filter((name) => name.startsWith(before) && name.endsWith(after) && name.length > before.length + after.length)
    .map((name) => {
      const key = name.slice(before.length, name.length - after.length)
      return { path: path.map((part) => (part === ANY ? key : part)), variable: name, coercion }
    })
}

function coerce(text: string, coercion: Coercion): unknown {
  if (coercion === 'number' && NUMBER.test(text)) return Number(text)
  if (coercion === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
  if (coercion === 'list') return text === '' ? [] : text.split(',').map((part) => part.trim())
  return text
}

function place(document: Record<string, unknown>, path: readonly string[], value: unknown): Record<string, unknown> {
  const [head = '', ...rest] = path
  if (rest.length === 0) return { ...document, [head]: value }
  const inner = document[head] ?? {}
  return { ...document, [head]: isRecord(inner) ? place(inner, rest, value) : inner }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
