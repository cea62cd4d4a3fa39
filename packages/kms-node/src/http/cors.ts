import type { IncomingMessage } from 'node:http'

/** Headers that let a configured origin read an answer; none for any other. */
export function allowOrigin(
  origins: readonly string[],
  origin: string | undefined,
): readonly (readonly [string, string])[] {
  if (origins.length === 0) return []
  const vary = ['vary', 'origin'] as const
  return origin !== undefined && origins.includes(origin) ? [vary, ['access-control-allow-origin', origin]] : [vary]
}

/** Whether a browser at a configured origin asks before it calls (Fetch standard, CORS-preflight). */
export const isPreflight = (origins: readonly string[], request: IncomingMessage): boolean =>
  request.method === 'OPTIONS' &&
  request.headers.origin !== undefined &&
  origins.includes(request.headers.origin) &&
  request.headers['access-control-request-method'] !== undefined

export const PREFLIGHT_HEADERS: Readonly<Record<string, string>> = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-allow-headers': 'authorization, content-type',
  'access-control-max-age': '600',
}
