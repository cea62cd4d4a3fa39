/** The longest bearer token a transport carries. */
export const MAX_TOKEN_LENGTH = 256

const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/

/** Whether a text can be a bearer token (RFC 6750, b68token): what HTTP carries, libp2p carries too. */
export const isBearerToken = (text: string): boolean => text.length <= MAX_TOKEN_LENGTH && TOKEN.test(text)
