import { once } from 'node:events'
import { connect } from 'node:net'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { bytesToHex } from '@noble/hashes/utils.js'
import type { AttestationReport } from '../attest/report.ts'
import type { OperationId } from './operations.ts'

interface DocumentedOperation {
  readonly operationId: OperationId
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, unknown>> }>>
}

export interface OpenApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

/** Judges answers by an OpenAPI document alone, as somebody does who has nothing else of ours. */
export interface Contract {
  /** "get /v1/status" of each operation. */
  readonly operations: ReadonlyMap<OperationId, { readonly method: string; readonly path: string }>
  /** "delegate 403 not-allowed" of every error the document tells of, and "delegate 200". */
  readonly outcomes: readonly string[]
  /** What is wrong with an answer; empty when the document describes it. */
  problems(operationId: OperationId, status: number, body: unknown): readonly string[]
  /** The same for a schema of the document by its name. */
  problemsOf(schema: string, body: unknown): readonly string[]
}

export function contractOf(document: OpenApiDocument): Contract {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  ajv.addSchema(document, 'openapi')
  const compiled = new Map<string, ValidateFunction>()
  const check = (pointer: readonly string[], body: unknown): readonly string[] => {
    const fragment = pointer.map((part) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1')))
    const $ref = `openapi#/${fragment.join('/')}`
    const validate = compiled.get($ref) ?? ajv.compile({ $ref })
    compiled.set($ref, validate)
    return validate(body) ? [] : (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`)
  }
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const operations = new Map(documented.map(({ path, method, operation }) => [operation.operationId, { path, method }]))
  return {
    operations,
    outcomes: documented.flatMap(({ operation }) => outcomesOf(operation)),
    problems: (operationId, status, body) => {
      const found = documented.find(({ operation }) => operation.operationId === operationId)
      if (found?.operation.responses[status] === undefined) return [`${operationId} is not documented to say ${status}`]
      const { path, method } = found
      const [type = ''] = Object.keys(found.operation.responses[status].content)
      return check(['paths', path, method, 'responses', `${status}`, 'content', type, 'schema'], body)
    },
    problemsOf: (schema, body) => check(['components', 'schemas', schema], body),
  }
}

/** The body of an answer as JSON: what says that it is no JSON, as the string that it is. */
export async function jsonOf(response: Response): Promise<string> {
  const text = await response.text()
  return response.headers.get('content-type')?.startsWith('application/json') === true ? text : JSON.stringify(text)
}

interface RefusalResponse {
  readonly content: {
    readonly 'application/json'?: {
      readonly schema: {
        readonly allOf?: readonly [
          unknown,
          {
            readonly properties: {
              readonly error: { readonly properties: { readonly code: { readonly enum: readonly string[] } } }
            }
          },
        ]
      }
    }
  }
}

const outcomesOf = ({ operationId, responses }: DocumentedOperation): readonly string[] =>
  Object.entries(responses).flatMap(([status, response]) => {
    const allOf = (response as RefusalResponse).content['application/json']?.schema.allOf
    if (allOf === undefined) return [`${operationId} ${status}`]
    return allOf[1].properties.error.properties.code.enum.map((code) => `${operationId} ${status} ${code}`)
  })

/** Sends bytes to a server and reads what comes until it hangs up. */
export async function raw(
  url: string,
  text: string,
): Promise<{ status: number; body: string; requestId: string | null }> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.write(text)
  await once(socket, 'close')
  const received = Buffer.concat(chunks).toString()
  const [head = '', body = ''] = received.split('\r\n\r\n')
  const [, requestId = null] = /x-request-id: (\S+)/i.exec(head) ?? []
  return { status: Number(head.split(' ')[1]), body, requestId }
}

/** As a node answers `?nonce=0x0f0f..`. */
export const reportOf = (clusterId: Uint8Array, publicKey: Uint8Array): AttestationReport => ({
  provider: 'tdx',
  clusterId: `0x${bytesToHex(clusterId)}`,
  ed25519: `0x${bytesToHex(publicKey)}`,
  certificatesHash: `0x${'01'.repeat(32)}`,
  nonce: `0x${'0f'.repeat(32)}`,
  quote: '0x0405',
})
