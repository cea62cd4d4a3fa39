import { setTimeout as passed } from 'node:timers/promises'
import { equalBytes } from '@tkms/dkg'
import type { KmsClient } from '@tkms/kms-client'

/** Between two requests of a client: the nodes need the processor too. */
const PAUSE_MS = 25

type Sealed = Parameters<KmsClient['decrypt']>[0]

/** Decrypts all the time, through every client at once. */
export class DecryptLoad {
  readonly #stop = new AbortController()
  readonly #plaintext: Uint8Array
  readonly #running: Promise<void>[]
  readonly failures: string[] = []
  requests = 0

  constructor(clients: readonly KmsClient[], envelope: Sealed, plaintext: Uint8Array) {
    this.#plaintext = plaintext
    this.#running = clients.map((client) => this.#ask(client, envelope))
  }

  async end(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#running)
  }

  async #ask(client: KmsClient, envelope: Sealed): Promise<void> {
    while (!this.#stop.signal.aborted) {
      this.requests++
      try {
        if (!equalBytes(await client.decrypt(envelope), this.#plaintext)) this.failures.push('another plaintext')
      } catch (cause) {
        this.failures.push(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause))
      }
      await passed(PAUSE_MS)
    }
  }
}
