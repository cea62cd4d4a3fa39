import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { verifyEd25519 } from '@tkms/dkg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verifySignatureHeaders } from '../../packages/kms-node/src/http/message-signature.ts'
import { createTestCluster, type TestCluster } from '../support/node-cluster.ts'

const ROOT = join(import.meta.dirname, '../..')

let cluster: TestCluster
beforeAll(async () => {
  cluster = await createTestCluster({ n: 3, t: 2 })
  await cluster.node(1).start()
})
afterAll(() => cluster.dispose())

interface Status {
  readonly version: string
  readonly codeHash: string
  readonly nativeHash: string
  readonly ed25519: string
  readonly clusterId: string
}

async function ask(
  target: string,
): Promise<{ readonly status: number; readonly headers: Headers; readonly body: string }> {
  const response = await fetch(cluster.node(1).url + target)
  return { status: response.status, headers: response.headers, body: await response.text() }
}

it('says what runs here, signed by the identity in the cluster file, and that is what the release is made of', async () => {
  const target = `/v1/status?nonce=0x${randomBytes(32).toString('hex')}`
  const { status, headers, body } = await ask(target)
  const signed = verifySignatureHeaders(verifyEd25519, { status, target, body }, headers)
  const file = (await cluster.file()) as {
    readonly clusterId: string
    readonly nodes: readonly { readonly ed25519: string }[]
  }
  const said = JSON.parse(body) as Status
  expect(`0x${Buffer.from(signed?.publicKey ?? []).toString('hex')}`).toBe(file.nodes[0]?.ed25519)
  expect(said).toMatchObject({ ed25519: file.nodes[0]?.ed25519, clusterId: file.clusterId })
  const kinds = { profile: 'development', sealing: 'passphrase', curve: 'libsecp256k1', keys: [] }
  expect(said).toMatchObject({ ...kinds, attestation: { provider: 'none' }, certificatesHash: `0x${'00'.repeat(32)}` })

  const script = [join(ROOT, 'scripts/release-manifest.mjs')]
  const manifest = JSON.parse((await promisify(execFile)(process.execPath, script)).stdout) as {
    readonly version: string
    readonly codeHash: string
    readonly native: Readonly<Record<string, Readonly<Record<string, string>>>>
  }
  expect(said).toMatchObject({ version: manifest.version, codeHash: manifest.codeHash })
  const binaries = Object.values(manifest.native[`${process.platform}-${process.arch}`] ?? {})
  expect(binaries).toContain(said.nativeHash)
})

it('signs for the nonce that was asked, and refuses what is none', async () => {
  const { status, headers, body } = await ask(`/v1/status?nonce=0x${'01'.repeat(32)}`)
  const other = { status, target: `/v1/status?nonce=0x${'02'.repeat(32)}`, body }
  expect(verifySignatureHeaders(verifyEd25519, other, headers)).toBeUndefined()
  expect((await ask('/v1/status?nonce=7')).status).toBe(400)
})
