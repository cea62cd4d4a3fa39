import type { CeremonyTimings } from '@tkms/dkg'
import type { AllowedMeasurement } from '../attest/measurements.ts'
import type { TcbStatus } from '../attest/tcb.ts'
import type { AttestationProvider } from '../ports.ts'

export interface HttpConfig {
  /** Where the HTTP API listens. */
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
  /** TLS 1.3. Off only where `host` is loopback. */
  readonly tls: boolean
  /** PEM, instead of the self-signed certificate of `init`; both or none. */
  readonly tlsCertFile?: string | undefined
  readonly tlsKeyFile?: string | undefined
  /** Browsers of these origins may call; none by default. */
  readonly corsOrigins: readonly string[]
}

export interface CeremonyConfig extends CeremonyTimings {
  /** How long the share of an epoch is served after the certificate of the next one was seen. */
  readonly retireGraceMs: number
  /** How long silent members keep a starting node from serving. */
  readonly startupWaitMs: number
}

/** What protects the sealed store, by `provider`. No provider takes another's place. */
export type SealerConfig = PassphraseSealerConfig | Tpm2SealerConfig | DstackSealerConfig | KeyFileSealerConfig

export interface PassphraseSealerConfig {
  readonly provider: 'passphrase'
  /** Otherwise TKMS_PASSPHRASE_FILE or TKMS_PASSPHRASE. */
  readonly passphraseFile?: string | undefined
  /** N = 2^scryptLogN. Below 17 only in the development profile. */
  readonly scryptLogN: number
}

/** A key that this machine's TPM 2.0 releases while the machine was started as it was at `init`; through tpm2-tools. */
export interface Tpm2SealerConfig {
  readonly provider: 'tpm2'
  /** How tpm2-tools reach the TPM (man tpm2_options). */
  readonly tcti: string
  /** "sha256:0,1,2": bank and PCRs, fixed when the store is made. */
  readonly pcrs: string
}

/** A key that dstack derives for the application in this virtual machine. */
export interface DstackSealerConfig {
  readonly provider: 'dstack'
  /** Path of the guest agent's Unix socket. */
  readonly socket: string
}

/** Development only: the key lies beside what it seals. */
export interface KeyFileSealerConfig {
  readonly provider: 'kms-file'
  /** 64 hex digits; made by `init`. Default: sealer.key in dataDir. */
  readonly keyFile: string
}

/** How this node proves what runs here, and what it takes from others. */
export interface AttestationConfig {
  /** No provider takes another's place. `simulated` only in the development profile. */
  readonly provider: AttestationProvider
  /** With `simulated`, and only then: the machine that its quotes pretend. */
  readonly simulatedFile?: string | undefined
  /** With `tdx`: what root made for the node among the kernel's reports; default /sys/kernel/config/tsm/report/tkms. */
  readonly reportDirectory?: string | undefined
  /** Of dstack's guest agent; default /var/run/dstack.sock. */
  readonly dstackSocket?: string | undefined
  /** PEM of the only root that is trusted, instead of Intel's; only in the development profile. */
  readonly rootFile?: string | undefined
  /** What may run; several side by side while versions change. */
  readonly allow: readonly AllowedMeasurement[]
  /** Statuses of a platform's TCB that are taken. */
  readonly tcbStatuses: readonly TcbStatus[]
  readonly collateral: {
    /** Of a PCCS; without it only the directory is read. */
    readonly url?: string | undefined
    /** What is known of platforms. Default: collateral in dataDir. */
    readonly directory: string
    /** The PCCS is asked anew after so many hours; 1 to 168. */
    readonly refreshHours: number
  }
  /** Take and send no ceremony frame, and accept no stream of a peer, before it has proven what runs there on that very connection. */
  readonly requirePeers: boolean
  /** Peers whose proof has run out stay as long as fewer than t + f members would be left; false: the operator lets them go. */
  readonly keepFloor: boolean
  /** Warn when a proof holds for fewer days than this. */
  readonly warnDays: number
}

export interface LimitsConfig {
  /** Delegation requests computed at once. */
  readonly maxRequestsInFlight: number
  /** Delegation requests waiting behind them; more are refused as busy. */
  readonly maxRequestsQueued: number
  /** Token bucket per remote address. */
  readonly requestsPerSecond: number
  readonly requestBurst: number
  /** Open HTTP connections. */
  readonly maxHttpConnections: number
  /** Open ones of one IPv4 address or one /64 of IPv6. */
  readonly maxHttpConnectionsPerAddress: number
  /** Of one address; as many as it may have open may come at once. */
  readonly newHttpConnectionsPerSecond: number
  /** A request's headers, and its whole body, must be in within this time. */
  readonly httpRequestTimeoutMs: number
  /** Remembered request ids; further requests are refused as busy while it is full. */
  readonly replayEntries: number
  /** The same for the requests of one requester, or the unsigned ones of one address, so that none takes the room of the others. */
  readonly replayEntriesPerRequester: number
  /** Remembered RSA keys and their verdicts. */
  readonly rsaKeyCacheEntries: number
}

export interface ServingConfig {
  /** Threads that multiply while requests wait, or for requests of several items; 0: none. Default: as many as the machine has cores, none where it has one. */
  readonly workers?: number | undefined
}

/** How one chain is read. */
export interface ChainConfig {
  /** JSON-RPC endpoints, 1 to 16. May hold API keys: never logged. */
  readonly rpc: readonly string[]
  /** How many must give the same answer: more than half of them, which is the default. */
  readonly required?: number | undefined
  /** For one answer. */
  readonly timeoutMs: number
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'

/** node.yaml after its defaults. */
export interface NodeConfigFile {
  /** `production` refuses every development switch at start. */
  readonly profile: 'production' | 'development'
  readonly name: string
  /** Where the store, the cluster file and the socket live. Default: the directory of node.yaml. */
  readonly dataDir?: string | undefined
  /** Multiaddrs. */
  readonly listen: readonly string[]
  /** What other nodes and clients are told; default: the addresses listened on. */
  readonly announce: readonly string[]
  /** The URL that the node card names, when it is not https://host:port of `http`. */
  readonly publicUrl?: string | undefined
  readonly http: HttpConfig
  /** Default: admin.sock in dataDir. */
  readonly adminSocket?: string | undefined
  readonly sealer: SealerConfig
  readonly attestation: AttestationConfig
  readonly ceremony: CeremonyConfig
  readonly limits: LimitsConfig
  readonly serving: ServingConfig
  /** Chains that policy rules and contract wallets are read from, by decimal chain id. */
  readonly chains: Readonly<Record<string, ChainConfig>>
  /** Where contract wallets are asked whether a signature is theirs (ERC-1271); without it only keys sign. */
  readonly erc1271?: { readonly chain: number } | undefined
  /** Default: policy.yaml in dataDir. */
  readonly policyFile?: string | undefined
  readonly log: { readonly level: LogLevel }
}

/** node.yaml with the environment over it and every path absolute. */
export interface NodeConfig extends NodeConfigFile {
  readonly dataDir: string
  readonly adminSocket: string
  readonly policyFile: string
}
