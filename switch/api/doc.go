// Package api is the switch's HTTP front door: what a participant may ask of a
// payment over NATS it may ask here, with the same canonical bodies, and the
// operator sees the books.
//
// Every answer to a question about money is an Answer of package tongma, in its
// canonical bytes: 200 when it is decided, approved or declined, and 202 while it
// is not. Everything that is not such an answer is a problem document of RFC 9457
// that says what happened to the money. Who asks is taken from the bearer token,
// never from the body.
package api
