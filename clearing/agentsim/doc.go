// Package agentsim is a settlement agent that is simulated, as a service of its
// own that speaks ISO 20022 over HTTP: it keeps the accounts of the participants,
// the switch's settlement account, prefunding and the guarantee fund, takes the
// switch's orders, and reports on them as a bank does. Nothing in it is shared with
// the switch but the message formats, so that what settles against it has crossed a
// real wire.
//
// The switch's side, with its token as "Authorization: Bearer …":
//
//	POST /v1/messages                     an envelope of head.001 with a pacs.009, pacs.010,
//	                                      pacs.029 or camt.050; a pacs.002 or camt.025 answers
//	GET  /v1/status/{id}                  pacs.002 on the instruction with this EndToEndId
//	GET  /v1/notifications?after=N        camt.054 of what was booked; Agent-Next says where to go on
//	     &instruction=ID                  or of one instruction alone
//	GET  /v1/statements/{account}/{day}?currency=CNY    camt.053, day as 2026-11-23
//
// The operator's side, in JSON, with a token of its own:
//
//	GET, PUT /admin/accounts              what is held; open or change one
//	POST     /admin/fund                  money into an account, or out of it
//	GET, POST, DELETE /admin/faults       plant a fault, look at them, take all away
//	GET      /admin/movements?after=N     the agent's own books
//
// Every movement is double entry and balances stay above their limits, so the sum
// over all accounts of a currency is zero: money comes from, and goes back to, the
// agent's own account. A message is known by its id and an instruction by its
// EndToEndId; the same again is the same movement, once. What was answered is on
// disk: one line of a file for each change, synced before the answer.
//
// Faults make it as bad as agents are: see Fault.
package agentsim
