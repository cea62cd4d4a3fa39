import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createHardhatRuntimeEnvironment } from 'hardhat/hre'
import { type Abi, type Address, createTestClient, type Hex, http, publicActions, walletActions } from 'viem'

/** A contract on the chain, written to by its deployer. */
export interface Deployed {
  readonly address: Address
  /** Sends a transaction and waits until it is in a block. */
  write(functionName: string, ...args: readonly unknown[]): Promise<void>
}

/** A real chain of one node in this process, with its own JSON-RPC server on loopback. */
export interface LocalChain {
  readonly chainId: number
  readonly url: string
  deploy(contract: 'Handles' | 'Wallet', ...args: readonly unknown[]): Promise<Deployed>
  stop(): Promise<void>
}

interface Compiled {
  readonly abi: Abi
  readonly bytecode: Hex
}

/** @param chainId what the chain says it is */
export async function startLocalChain(chainId: number): Promise<LocalChain> {
  const contracts = compile(['Handles', 'Wallet'])
  const runtime = await createHardhatRuntimeEnvironment({
    networks: { default: { type: 'edr-simulated', chainId, allowUnlimitedContractSize: false } },
  })
  const server = await runtime.network.createServer('default', '127.0.0.1', 0)
  const { port } = await server.listen()
  const url = `http://127.0.0.1:${port}`
  const client = createTestClient({ mode: 'hardhat', transport: http(url) })
    .extend(publicActions)
    .extend(walletActions)
  const [account] = await client.getAddresses()
  if (account === undefined) throw new Error('the chain has no account')
  return {
    chainId,
    url,
    deploy: async (name, ...args) => {
      const { abi, bytecode } = contracts[name] ?? fail(name)
      const hash = await client.deployContract({ abi, bytecode, args, account, chain: null })
      const { contractAddress: address } = await client.waitForTransactionReceipt({ hash })
      if (!address) return fail(name)
      return {
        address,
        write: async (functionName, ...given) => {
          const sent = await client.writeContract({ address, abi, functionName, args: given, account, chain: null })
          const { status } = await client.waitForTransactionReceipt({ hash: sent })
          if (status !== 'success') fail(`${name}.${functionName}`)
        },
      }
    },
    stop: () => server.close(),
  }
}

interface SolcOutput {
  readonly errors?: readonly { readonly severity: string; readonly formattedMessage: string }[]
  readonly contracts: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly abi: Abi; readonly evm: { readonly bytecode: { readonly object: string } } }>>
    >
  >
}

/** With the compiler of the `solc` package: Hardhat would fetch one from the internet. */
function compile(names: readonly string[]): Readonly<Record<string, Compiled>> {
  const solc = createRequire(import.meta.url)('solc') as { readonly compile: (input: string) => string }
  const sources = Object.fromEntries(
    names.map((name) => [
      `${name}.sol`,
      { content: readFileSync(new URL(`contracts/${name}.sol`, import.meta.url), 'utf8') },
    ]),
  )
  const settings = { evmVersion: 'cancun', outputSelection: { '*': { '*': ['abi', 'evm.bytecode.object'] } } }
  const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings }))) as SolcOutput
  const [error] = (output.errors ?? []).filter(({ severity }) => severity === 'error')
  if (error !== undefined) throw new Error(error.formattedMessage)
  return Object.fromEntries(
    names.map((name) => {
      const { abi, evm } = output.contracts[`${name}.sol`]?.[name] ?? fail(name)
      return [name, { abi, bytecode: `0x${evm.bytecode.object}` as const }]
    }),
  )
}

function fail(what: string): never {
  throw new Error(`the local chain does not do ${what}`)
}
