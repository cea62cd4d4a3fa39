import type { Operation } from './operations.ts'
import type { Route } from './routes.ts'

export type Found =
  | { readonly kind: 'found'; readonly route: Route; readonly parameters: Readonly<Record<string, string>> }
  | { readonly kind: 'error'; readonly code: 'not-found' | 'method-not-allowed' | 'malformed' }

export type FindRoute = (method: string | undefined, url: string | undefined) => Found

/** Finds the route of a call and checks the parameters of its path and query. */
export function createRouteFinder(routes: readonly Route[]): FindRoute {
  const table = routes.map((route) => ({ route, pattern: patternOf(route.operation) }))
  return (method, url = '') => {
    const { path, query } = split(url)
    const matching = table.filter(({ pattern }) => pattern.test(path))
    const found = matching.find(({ route }) => route.operation.method === method)
    if (found === undefined) return { kind: 'error', code: matching.length > 0 ? 'method-not-allowed' : 'not-found' }
    const { route, pattern } = found
    const parameters = parametersOf(route.operation, pattern.exec(path)?.groups ?? {}, query)
    return parameters === undefined ? { kind: 'error', code: 'malformed' } : { kind: 'found', route, parameters }
  }
}

function split(url: string): { readonly path: string; readonly query: URLSearchParams } {
  const at = url.indexOf('?')
  return at < 0
    ? { path: url, query: new URLSearchParams() }
    : { path: url.slice(0, at), query: new URLSearchParams(url.slice(at + 1)) }
}

/** "/v1/keys/{keyId}" as an expression with one named group per parameter. */
const patternOf = ({ path }: Operation): RegExp =>
  new RegExp(`^${path.replaceAll('.', String.raw`\.`).replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`)

/** @returns undefined when one of them is not what its schema asks for, or stands there twice */
function parametersOf(
  { pathParameters, queryParameters }: Operation,
  groups: Readonly<Record<string, string>>,
  query: URLSearchParams,
): Readonly<Record<string, string>> | undefined {
  const parameters: Record<string, string> = {}
  for (const [name, schema] of Object.entries({ ...pathParameters, ...queryParameters })) {
    const [text, ...more] = name in groups ? [groups[name]] : query.getAll(name)
    if (text === undefined) continue
    if (more.length > 0 || !schema.safeParse(text).success) return undefined
    parameters[name] = text
  }
  return parameters
}
