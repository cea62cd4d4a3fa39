import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { bytesToHex } from '@noble/hashes/utils.js'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { COMBINER_SETTINGS, loadCombinerConfig } from './config.ts'
import { readWalletKey } from './read-wallet-key.ts'

const contract = `0x${'c0'.repeat(20)}`
const YAML = `
cluster: cluster.json
signerFile: combiner.pem
chains:
  '421614':
    rpc: [https://a.example, https://b.example, https://c.example]
    contract: '${contract}'
`
/** As an existing deployment has it, key by key. */
const NOX = {
  NOX_KMS_SERVER__HOST: '0.0.0.0',
  NOX_KMS_SERVER__PORT: '9001',
  NOX_KMS_WALLET_KEY: `0x${'11'.repeat(32)}`,
  NOX_KMS_CHAINS__421614__RPC_URL: 'https://rpc.example/key',
  NOX_KMS_CHAINS__421614__NOX_COMPUTE_CONTRACT_ADDRESS: contract,
  NOX_KMS_CHAINS__421614__CALL_TIMEOUT: '500ms',
  NOX_KMS_CHAINS__421614__CONNECT_TIMEOUT: '5s',
  NOX_KMS_CHAINS__11155111__RPC_URL: 'https://sepolia.example',
  NOX_KMS_CHAINS__11155111__NOX_COMPUTE_CONTRACT_ADDRESS: contract,
  RUST_LOG: 'info',
}
const OURS = { TKMS_COMBINER_CLUSTER: '/c/cluster.json', TKMS_COMBINER_SIGNER_FILE: '/c/combiner.pem' }

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tkms-combiner-'))
  onTestFinished(() => rm(directory, { recursive: true }))
})
async function load(yaml: string | undefined, env: Record<string, string> = {}): ReturnType<typeof loadCombinerConfig> {
  const file = yaml === undefined ? undefined : join(directory, 'combiner.yaml')
  if (file !== undefined) await writeFile(file, yaml ?? '')
  return loadCombinerConfig({ file, env })
}
const refusal = (...problems: readonly string[]): unknown =>
  expect.objectContaining({ code: 'bad-config-file', data: expect.objectContaining({ problems }) })

describe('configuration of a combiner', () => {
  it('is one file, with paths from where it lies', async () => {
    const { config } = await load(YAML)
    expect(config).toMatchObject({
      server: { host: '127.0.0.1', port: 9000 },
      cluster: join(directory, 'cluster.json'),
      signerFile: join(directory, 'combiner.pem'),
      transport: 'http',
      chains: { 421_614: { timeoutMs: 8000, contract } },
    })
    expect(config.walletKeyFile).toBeUndefined()
  })

  it('takes the variables of a single-key deployment as they are', async () => {
    const { config, ignored } = await load(undefined, { ...NOX, ...OURS, NOX_KMS_STORAGE__PATH: '/old' })
    expect(config).toMatchObject({
      server: { host: '0.0.0.0', port: 9001 },
      cluster: '/c/cluster.json',
      signerFile: '/c/combiner.pem',
      chains: {
        421_614: { rpc: ['https://rpc.example/key'], timeoutMs: 500, contract },
        11_155_111: { rpc: ['https://sepolia.example'], timeoutMs: 8000, contract },
      },
    })
    expect(ignored).toEqual(['NOX_KMS_STORAGE__PATH'])
  })

  it('reads files that variables name', async () => {
    const secret = join(directory, 'rpc')
    await writeFile(secret, 'https://secret.example/key\n')
    const { NOX_KMS_CHAINS__421614__RPC_URL: _, ...others } = NOX
    const env = { ...others, ...OURS, NOX_KMS_CHAINS__421614__RPC_URL_FILE: secret, NOX_KMS_WALLET_KEY_FILE: 'w' }
    const { config } = await load(undefined, env)
    expect(config.chains['421614']?.rpc).toEqual(['https://secret.example/key'])
    expect(config.walletKeyFile).toBe(resolve('w'))
    const missing = { ...env, NOX_KMS_CHAINS__421614__RPC_URL_FILE: join(directory, 'none') }
    await expect(load(undefined, missing)).rejects.toMatchObject({ code: 'config-unreadable' })
  })

  it('puts its own variables over those, and those over the file', async () => {
    const { config } = await load(YAML, {
      ...NOX,
      TKMS_COMBINER_SERVER_PORT: '9002',
      TKMS_COMBINER_CHAINS_421614_KEY_NAME: 'ecies/x',
    })
    expect(config.server).toEqual({ host: '0.0.0.0', port: 9002 })
    expect(config.chains['421614']).toMatchObject({ rpc: ['https://rpc.example/key'], keyName: 'ecies/x' })
    expect(COMBINER_SETTINGS.map(({ variable }) => variable)).toContain('TKMS_COMBINER_LIMITS_TOTAL_TIMEOUT_MS')
  })

  it('refuses a private key, and says where it belongs', async () => {
    for (const name of ['NOX_KMS_CHAINS__421614__ECC_KEY', 'NOX_KMS_CHAINS__421614__ECC_KEY_FILE'])
      await expect(load(undefined, { ...NOX, ...OURS, [name]: '22'.repeat(32) })).rejects.toSatisfy((error: Error) => {
        expect(error.message).toContain('ceremony propose --import ecies/<chain id>')
        expect(error.message).toContain(name)
        expect(error.message).not.toContain('2222')
        return true
      })
  })

  it('refuses what is wrong, all at once', async () => {
    await expect(load('{}')).rejects.toThrow(
      /cluster: is missing \(or TKMS_COMBINER_CLUSTER\)[\s\S]*signerFile: [\s\S]*chains: is missing/,
    )
    await expect(load(`${YAML}extra: 1`)).rejects.toMatchObject({ code: 'bad-config-file' })
    const zero = { ...OURS, ...NOX, NOX_KMS_CHAINS__421614__NOX_COMPUTE_CONTRACT_ADDRESS: `0x${'00'.repeat(20)}` }
    await expect(load(undefined, zero)).rejects.toEqual(refusal('chains.421614.contract: must not be the zero address'))
    for (const timeout of ['0s', '61s', 'soon', '8h', ''])
      await expect(load(YAML, { NOX_KMS_CHAINS__421614__CONNECT_TIMEOUT: timeout })).rejects.toEqual(
        refusal('NOX_KMS_CHAINS__421614__CONNECT_TIMEOUT: must be above 0 and at most 60s, such as "8s"'),
      )
    await expect(load(YAML, { NOX_KMS_CHAINS__421614__CALL_TIMEOUT: '1m' })).resolves.toBeDefined()
    await expect(load(`${YAML}    required: 1\n`)).rejects.toEqual(
      refusal('chains.421614.required: must be more than half of the endpoints, and no more than there are'),
    )
    await expect(load(YAML.replace(/ {2}'421614'[\s\S]*/, '  {}'))).rejects.toEqual(
      refusal('chains: must name at least one chain'),
    )
  })
})

describe('the wallet key', () => {
  const hexOf = async (file: string | undefined, env: Record<string, string>): Promise<string> =>
    (await readWalletKey({ file, env })).use(bytesToHex)

  it('comes from a file or the environment, where it does not stay', async () => {
    const file = join(directory, 'wallet')
    await writeFile(file, `0x${'33'.repeat(32)}\n`)
    const env: Record<string, string> = { NOX_KMS_WALLET_KEY: '44'.repeat(32) }
    expect(await hexOf(file, env)).toBe('33'.repeat(32))
    expect(env).toEqual({})
    expect(await hexOf(undefined, { NOX_KMS_WALLET_KEY: `0x${'44'.repeat(32)}` })).toBe('44'.repeat(32))
    const both = { NOX_KMS_WALLET_KEY: '44'.repeat(32), TKMS_COMBINER_WALLET_KEY: '55'.repeat(32) }
    expect(await hexOf(undefined, both)).toBe('55'.repeat(32))
  })

  it('is missed by name', async () => {
    await expect(readWalletKey({ file: undefined, env: {} })).rejects.toMatchObject({ code: 'wallet-key-missing' })
    const none = { file: join(directory, 'none'), env: {} }
    await expect(readWalletKey(none)).rejects.toMatchObject({ code: 'wallet-key-missing' })
    await expect(readWalletKey({ file: directory, env: {} })).rejects.toMatchObject({ code: 'wallet-key-missing' })
  })
})
