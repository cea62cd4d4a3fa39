import { fileURLToPath } from 'node:url'
import { createContext, Script } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { selectCurve } from '@tkms/curve-native'
import { Secret } from '@tkms/dkg'
import { build } from 'vite'
import { beforeAll, describe, expect, it } from 'vitest'
import { createKmsClient } from './client.ts'
import { createMemoryTransport, createTestCluster } from './node/testing/test-cluster.ts'
import { createEd25519Signer } from './signer.ts'

const MAX_GZIP_BYTES = 64 * 1024
const entry = fileURLToPath(new URL('index.ts', import.meta.url))

let code: string
let imports: readonly string[]

beforeAll(async () => {
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    build: { write: false, minify: true, lib: { entry, formats: ['iife'], name: 'tkms', fileName: 'tkms' } },
  })
  const outputs = (Array.isArray(result) ? result : [result]).flatMap((bundle) =>
    'output' in bundle ? bundle.output : [],
  )
  const chunks = outputs.filter((output) => output.type === 'chunk')
  code = chunks.map((chunk) => chunk.code).join('\n')
  imports = chunks.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports])
}, 60_000)

/** What a page has, and nothing of Node. */
const webGlobals = (): Record<string, unknown> => ({
  AbortController,
  AbortSignal,
  crypto,
  fetch,
  performance,
  setTimeout,
  clearTimeout,
  TextDecoder,
  TextEncoder,
  Uint8Array,
  Uint32Array,
  ArrayBuffer,
})

describe('the main entry, bundled for a browser', () => {
  it('pulls in nothing of Node and stays small', () => {
    expect(imports).toEqual([])
    expect(code.match(/["'`]node:[a-z/_]+|__vite-browser-external|\brequire\(|\bBuffer\.|\bprocess\./g) ?? []).toEqual(
      [],
    )
    expect(gzipSync(code).length).toBeLessThan(MAX_GZIP_BYTES)
  })

  it('encrypts offline with nothing but web globals, for a client in Node to open', async () => {
    const { curve } = selectCurve()
    const cluster = createTestCluster(curve)
    const context = createContext({ ...webGlobals(), file: JSON.stringify(cluster.file()) })
    new Script(code).runInContext(context)
    const encrypt = new Script(`(async () => {
      const kms = await tkms.createKmsClient({ cluster: JSON.parse(file) })
      const envelope = await kms.encrypt(new TextEncoder().encode('from a page'), { key: 'ecies/test' })
      return JSON.stringify(envelope)
    })()`)
    const envelope = (await encrypt.runInContext(context)) as string
    const signer = createEd25519Signer(new Secret(crypto.getRandomValues(new Uint8Array(32))))
    const kms = await createKmsClient({
      cluster: cluster.file(),
      curve,
      signer,
      transport: createMemoryTransport(cluster),
    })
    expect(new TextDecoder().decode(await kms.decrypt(envelope))).toBe('from a page')
  })
})
