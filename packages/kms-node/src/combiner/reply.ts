/** What a caller of the combiner is told. */
export interface Reply {
  readonly status: number
  readonly contentType?: 'application/json' | 'text/plain; charset=utf-8'
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export const jsonReply = (value: unknown, status = 200): Reply => ({
  status,
  contentType: 'application/json',
  body: JSON.stringify(value),
})

/** As the HTTP library of the single-key service answers what never reaches its handler. */
export const textReply = (body: string, status = 200): Reply => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  body,
})

const failure =
  (prefix: string, status: number) =>
  (detail: string): Reply =>
    jsonReply({ error: `${prefix}: ${detail}` }, status)

/** The four errors of the Nox API: fixed prefix, fixed status (interop 1.1). */
export const cryptographicError: (detail: string) => Reply = failure('Cryptographic error', 400)
export const invalidQuery: (detail: string) => Reply = failure('Invalid query parameters', 400)
export const unauthorized: (detail: string) => Reply = failure('Unauthorized', 401)
/** The only one that is not the caller's fault: the combiner or the cluster cannot answer. */
export const storageError: (detail: string) => Reply = failure('Storage error', 500)
