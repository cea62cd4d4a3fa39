import type { ItemWork } from './item-work.ts'

/** To a worker thread. */
export interface WorkerCall {
  readonly id: number
  readonly work: ItemWork
}

/** The work of a call, or the KmsError that it failed with. */
export type WorkerReply =
  | { readonly id: number; readonly done: Uint8Array<ArrayBuffer> }
  | { readonly id: number; readonly code: string; readonly message: string }

/** The first message of a worker thread: the backend of its curve. */
export interface WorkerReady {
  readonly ready: string
}
