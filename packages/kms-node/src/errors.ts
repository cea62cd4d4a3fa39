import { KmsError } from '@tkms/dkg'

/** Whether an error is one of ours, with its code as a string. */
export const isKmsError = (error: unknown): error is KmsError => error instanceof KmsError
