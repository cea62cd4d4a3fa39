import { z } from 'zod'
import { VERSION } from '../version.ts'
import { HTTP_ERRORS, type HttpErrorCode } from './errors.ts'
import { errorsOf, type Operation, OPERATIONS } from './operations.ts'
import { type SchemaName, SCHEMAS } from './schemas.ts'

type Json = Readonly<Record<string, unknown>>

const DESCRIPTION = `What a node of a Threshold KMS cluster answers over HTTP. Bytes are 0x and lower-case hex, times are Unix seconds.
Any other path is answered with 404 not-found, another method with 405 method-not-allowed; what is no HTTP request, or comes too slowly, with 400 malformed, 408 timeout or 431 headers-too-large: all as an Error.`

/** The OpenAPI 3.1 document, made from what routes and validates requests. Ready for JSON. */
export function openApiDocument(): Json {
  const paths: Record<string, Record<string, Json>> = {}
  for (const [operationId, operation] of Object.entries(OPERATIONS))
    paths[operation.path] = {
      ...paths[operation.path],
      [operation.method.toLowerCase()]: { operationId, ...describe(operation) },
    }
  return {
    openapi: '3.1.1',
    info: {
      title: 'Threshold KMS node',
      version: VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: "A token for the node's policy, where it asks for one.",
        },
      },
    },
  }
}

function describe(operation: Operation): Json {
  const { summary, bearer, body, answers, contentType = 'application/json' } = operation
  return {
    summary,
    ...(bearer && { security: [{}, { bearer: [] }] }),
    parameters: [...parameters('path', operation.pathParameters), ...parameters('query', operation.queryParameters)],
    ...(body !== undefined && { requestBody: { required: true, content: json(refer(body)) } }),
    responses: {
      200: {
        description: answers.map(describedAs).join(' Or: '),
        headers: REQUEST_ID,
        content: { [contentType]: { schema: oneOf(answers) } },
      },
      ...Object.fromEntries([...byStatus(errorsOf(operation))].map(([status, codes]) => [status, refusal(codes)])),
    },
  }
}

const parameters = (place: 'path' | 'query', schemas: Readonly<Record<string, z.ZodType>>): readonly Json[] =>
  Object.entries(schemas).map(([name, schema]) => {
    return { name, in: place, required: place === 'path', schema: bare(z.toJSONSchema(schema)) }
  })

/** Without what only a schema that stands alone needs. */
const bare = (schema: object): Json =>
  Object.fromEntries(Object.entries(schema).filter(([name]) => name !== '$schema' && name !== '$id'))

const json = (schema: Json): Json => ({ 'application/json': { schema } })
const refer = (name: SchemaName): Json => ({ $ref: `#/components/schemas/${name}` })
const oneOf = ([first, ...others]: readonly SchemaName[]): Json =>
  first !== undefined && others.length === 0
    ? refer(first)
    : { oneOf: [first, ...others].flatMap((name) => (name === undefined ? [] : refer(name))) }
const describedAs = (name: SchemaName): string => SCHEMAS[name].description ?? name

const REQUEST_ID: Json = {
  'x-request-id': { description: "What finds the call in the node's log.", schema: { type: 'string' } },
}

function byStatus(codes: readonly HttpErrorCode[]): ReadonlyMap<number, readonly HttpErrorCode[]> {
  const statuses = new Map<number, HttpErrorCode[]>()
  for (const code of codes) {
    const { status } = HTTP_ERRORS[code]
    statuses.set(status, [...(statuses.get(status) ?? []), code])
  }
  return statuses
}

function refusal(codes: readonly HttpErrorCode[]): Json {
  const narrowed = {
    type: 'object',
    properties: { error: { type: 'object', properties: { code: { type: 'string', enum: codes } } } },
  }
  return {
    description: codes.map((code) => `${code}: ${HTTP_ERRORS[code].message}`).join('\n'),
    headers: REQUEST_ID,
    content: json({ allOf: [refer('Error'), narrowed] }),
  }
}

function componentSchemas(): Json {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id })
  const { schemas } = z.toJSONSchema(registry, { uri: (id) => `#/components/schemas/${id}` })
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, bare(schema)]))
}
