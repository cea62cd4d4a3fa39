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

/** Everything that the package exports, in one file. */
const MAX_WHOLE_GZIP_BYTES = 55_300
/** What a page needs that encrypts and decrypts; 21 kB of it are noble. */
const MAX_PAGE_GZIP_BYTES = 49_700

interface Bundle {
  readonly code: string
  readonly imports: readonly string[]
  /** Paths of the modules that are in it, in part at least. */
  readonly modules: readonly string[]
}

/** One file for a browser. @param source what is in it, by a module beside this file */
async function bundle(source: string): Promise<Bundle> {
  const page = fileURLToPath(new URL('page-of-a-test.ts', import.meta.url))
  const result = await build({
    configFile: false,
    logLevel: 'silent',
    plugins: [
      { name: 'source', resolveId: (id) => (id === page ? id : null), load: (id) => (id === page ? source : null) },
    ],
    build: { write: false, minify: true, lib: { entry: page, formats: ['iife'], name: 'tkms', fileName: 'tkms' } },
  })
  const outputs = (Array.isArray(result) ? result : [result]).flatMap((each) => ('output' in each ? each.output : []))
  const chunks = outputs.filter((output) => output.type === 'chunk')
  return {
    code: chunks.map((chunk) => chunk.code).join('\n'),
    imports: chunks.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]),
    modules: chunks.flatMap((chunk) =>
      Object.entries(chunk.modules).flatMap(([path, { renderedLength }]) => (renderedLength > 0 ? [path] : [])),
    ),
  }
}

let whole: Bundle
let page: Bundle

beforeAll(async () => {
  whole = await bundle("export * from './index.ts'")
  page = await bundle("export { createEd25519Signer, createKmsClient, http } from './index.ts'")
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
  it('pulls in nothing of Node', () => {
    const ofNode = /["'`]node:[a-z/_]+|__vite-browser-external|\brequire\(|\bBuffer\.|\bprocess\./g
    expect(whole.imports).toEqual([])
    expect(whole.code.match(ofNode) ?? []).toEqual([])
  })

  it('stays small', () => {
    expect(gzipSync(whole.code).length).toBeLessThan(MAX_WHOLE_GZIP_BYTES)
    expect(gzipSync(page.code).length).toBeLessThan(MAX_PAGE_GZIP_BYTES)
  })

  it('leaves out what no page needs: transports of Node, ceremonies, evidence against members, maps to the curve', () => {
    const unwanted =
      /libp2p|protobuf|hash-to-curve|abstract.der|sha3|dealing|dkg.dist.(evidence|repair|destroy|audit)|ceremony.engine/
    expect(page.modules.length).toBeGreaterThan(50)
    expect(page.modules.filter((path) => unwanted.test(path))).toEqual([])
  })

  it('encrypts offline with nothing but web globals, for a client in Node to open', async () => {
    const { curve } = selectCurve()
    const cluster = createTestCluster(curve)
    const context = createContext({ ...webGlobals(), file: JSON.stringify(cluster.file()) })
    new Script(whole.code).runInContext(context)
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
