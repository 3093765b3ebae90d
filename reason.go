package tongma

import (
	"fmt"
	"strconv"
	"strings"
)

// Reason says why a payment or a request did not simply succeed. The numbers are
// given once and never reused; zero is no reason. What each one means stands in
// the catalogue below, from which the documentation, `tongma errors`, the HTTP
// status and ISO 8583 DE39 are all taken.
type Reason uint16

// The catalogue. 1xxx input and barcodes, 2xxx routing and the schemes' legs (21xx
// what a scheme answered), 3xxx limits, 4xxx identity and repeats (41xx in order
// of precedence), 5xxx windows and settlement, 6xxx disputes, 7xxx exchange, 8xxx ISO 8583 frames, 9xxx inside the
// switch.
const (
	NoReason               Reason = 0
	CodeUnreadable         Reason = 1001
	CodeMalformed          Reason = 1002
	CodeChecksum           Reason = 1003
	CodeNotPayable         Reason = 1004
	CodeWrongSide          Reason = 1005
	CodeExpired            Reason = 1006
	CodeSpent              Reason = 1007
	AmountMissing          Reason = 1008
	AmountInvalid          Reason = 1009
	AmountDecimals         Reason = 1010
	CurrencyUnknown        Reason = 1011
	CurrencyMismatch       Reason = 1012
	AmountMismatch         Reason = 1013
	MessageMalformed       Reason = 1014
	FieldMissing           Reason = 1015
	FieldInvalid           Reason = 1016
	FieldUnknown           Reason = 1017
	MessageTooLong         Reason = 1018
	KeyMissing             Reason = 1019
	CountryMismatch        Reason = 1020
	OperationUnknown       Reason = 1021
	IssuerUnknown          Reason = 2001
	SchemeNotAccepted      Reason = 2002
	ParticipantSuspended   Reason = 2003
	ParticipantUnknown     Reason = 2004
	MerchantUnknown        Reason = 2005
	AdapterDown            Reason = 2006
	AdapterBusy            Reason = 2007
	DeadlineTooShort       Reason = 2008
	SchemeSilent           Reason = 2009
	PayerConfirming        Reason = 2010
	SchemeAnswerMalformed  Reason = 2011
	ReversedBySwitch       Reason = 2012
	ReversedByAcquirer     Reason = 2013
	HoldExpired            Reason = 2014
	ReversedBeforeOriginal Reason = 2015
	CurrencyNotServed      Reason = 2016
	ReversalPending        Reason = 2017
	ConsultFailed          Reason = 2018
	SponsorMissing         Reason = 2019
	KeyUsedUp              Reason = 2020
	InsufficientFunds      Reason = 2101
	DoNotHonour            Reason = 2102
	IssuerLimit            Reason = 2103
	IssuerCodeInvalid      Reason = 2104
	IssuerCodeExpired      Reason = 2105
	NotPermitted           Reason = 2106
	SuspectedFraud         Reason = 2107
	IssuerUnavailable      Reason = 2108
	PayerCancelled         Reason = 2109
	TooManyAttempts        Reason = 2110
	AccountRestricted      Reason = 2111
	AcceptRefused          Reason = 2112
	UnknownToScheme        Reason = 2113
	OverCap                Reason = 3001
	OverSchemeLimit        Reason = 3002
	RefundExceeds          Reason = 3003
	PositionOverflow       Reason = 3004
	NoAccount              Reason = 3005
	NamesExhausted         Reason = 3006
	NotAuthenticated       Reason = 4001
	NotPermittedHere       Reason = 4002
	MACWrong               Reason = 4003
	NotSignedOn            Reason = 4004
	ExistsOtherParticipant Reason = 4101
	ExistsOtherOperation   Reason = 4102
	ExistsOtherAmount      Reason = 4103
	ExistsOtherCurrency    Reason = 4104
	ExistsOtherCode        Reason = 4105
	ExistsOtherOriginal    Reason = 4106
	ExistsOtherContent     Reason = 4107
	PaymentUnknown         Reason = 4108
	StateConflict          Reason = 4109
	NotRefundable          Reason = 4110
	AlreadyRefunded        Reason = 4111
	MakerIsChecker         Reason = 4112
	CapChanged             Reason = 4113
	TooEarly               Reason = 4114
	PositionsOpen          Reason = 4115
	ProposalUnknown        Reason = 4116
	WindowUnknown          Reason = 5001
	WindowNotOpen          Reason = 5002
	WindowNotClosed        Reason = 5003
	SheetMismatch          Reason = 5004
	ModelUnknown           Reason = 5005
	CalendarUnknown        Reason = 5006
	CreditsWait            Reason = 5007
	MoreThanDue            Reason = 5008
	NotShort               Reason = 5009
	FundsMissing           Reason = 5010
	AgentRejected          Reason = 5011
	AgentSilent            Reason = 5012
	BreakUnknown           Reason = 5013
	InstructionUnknown     Reason = 5014
	AgentContradicts       Reason = 5015
	DisputeUnknown         Reason = 6001
	DisputeExceeds         Reason = 6002
	DisputeLate            Reason = 6003
	DisputeTurn            Reason = 6004
	DisputeOpen            Reason = 6005
	QuoteUnknown           Reason = 7001
	QuoteExpired           Reason = 7002
	QuoteMismatch          Reason = 7003
	NoQuote                Reason = 7004
	QuoteSpent             Reason = 7005
	FrameLength            Reason = 8001
	FrameIncomplete        Reason = 8002
	FieldUnreadable        Reason = 8003
	TrailingBytes          Reason = 8004
	MTIUnknown             Reason = 8005
	LinkUnknown            Reason = 8006
	JournalStopped         Reason = 9001
	JournalInDoubt         Reason = 9002
	SteppedDown            Reason = 9003
	ShuttingDown           Reason = 9004
	Overloaded             Reason = 9005
	SetupInvalid           Reason = 9006
	Internal               Reason = 9999
)

// MoneyMoved answers the first question that people ask of an error. Its zero
// value is the careful one.
type MoneyMoved uint8

const (
	MayHaveMoved MoneyMoved = iota // not known yet
	NotMoved                       // no money moved, and none will
	Moved                          // the money moved
)

// String returns "unknown", "not_executed" or "executed".
func (m MoneyMoved) String() string {
	return [...]string{"unknown", "not_executed", "executed"}[m%3]
}

// Actor is who must do something next.
type Actor string

const (
	ActNobody   Actor = "nobody"
	ActCashier  Actor = "cashier"
	ActPayer    Actor = "payer"
	ActWallet   Actor = "wallet"
	ActIssuer   Actor = "issuer"
	ActAcquirer Actor = "acquirer"
	ActScheme   Actor = "scheme"
	ActSwitch   Actor = "switch"
	ActOperator Actor = "operator"
)

// Retry says whether asking again can help, and how.
type Retry string

const (
	RetryNever   Retry = "never"
	RetrySameKey Retry = "same-key" // repeat as it was: the answer will be the true one
	RetryNewKey  Retry = "new-key"  // correct it, then send it as another request
	RetryNewCode Retry = "new-code" // a fresh code and a new key
	RetryLater   Retry = "later"    // unchanged, with a new key, when the cause has gone
)

// ReasonInfo is one row of the catalogue.
type ReasonInfo struct {
	Reason Reason
	Slug   string     // stable name, kebab case
	Title  string     // one sentence, without a full stop
	Money  MoneyMoved // what happened to the money
	Act    Actor
	Retry  Retry
	DE39   string // ISO 8583:1987 response code
	HTTP   int    // HTTP status when the reason is the whole answer
	Advice string // what to do next; may be empty
}

var reasons = [...]ReasonInfo{
	{NoReason, "ok", "Nothing is wrong", NotMoved, ActNobody, RetryNever, "00", 200, ""},
	{CodeUnreadable, "code-unreadable", "The code is of no known kind", NotMoved, ActCashier, RetryNewCode, "14", 422, "Scan again; if it is the payer's code, ask for a fresh one."},
	{CodeMalformed, "code-malformed", "The code breaks its own format", NotMoved, ActCashier, RetryNewCode, "14", 422, "Scan again. `tongma code parse` says where it breaks."},
	{CodeChecksum, "code-checksum", "The code's checksum does not match", NotMoved, ActCashier, RetryNewCode, "14", 422, "The code was misread or altered: scan again, and do not type it in."},
	{CodeNotPayable, "code-not-payable", "The code is genuine but pays nothing here", NotMoved, ActCashier, RetryNewCode, "12", 422, "It is a bill slip, a product code or a login code. Ask for a payment code."},
	{CodeWrongSide, "code-wrong-side", "A merchant's code was presented where a payer's is needed, or the reverse", NotMoved, ActCashier, RetryNewCode, "12", 422, "Payer's codes go to pay; merchant's codes go to resolve and transfer."},
	{CodeExpired, "code-expired", "The code's time is over", NotMoved, ActPayer, RetryNewCode, "54", 422, "Ask the payer to refresh the code."},
	{CodeSpent, "code-spent", "The payer's code was used before", NotMoved, ActPayer, RetryNewCode, "94", 409, "A payer's code works once, even if that payment failed. Ask for a fresh one."},
	{AmountMissing, "amount-missing", "No amount was given", NotMoved, ActAcquirer, RetryNewKey, "13", 400, "Send amount.minor and amount.currency."},
	{AmountInvalid, "amount-invalid", "The amount is not payable", NotMoved, ActAcquirer, RetryNewKey, "13", 422, "An amount is more than zero and has at most twelve digits of minor units."},
	{AmountDecimals, "amount-decimals", "The amount has more decimals than its currency", NotMoved, ActAcquirer, RetryNewKey, "13", 422, "JPY has none, CNY two, KWD three."},
	{CurrencyUnknown, "currency-unknown", "The currency is not in ISO 4217", NotMoved, ActAcquirer, RetryNewKey, "12", 422, ""},
	{CurrencyMismatch, "currency-mismatch", "The currencies differ", NotMoved, ActAcquirer, RetryNewKey, "12", 422, "The code, the request and the scheme must name one currency."},
	{AmountMismatch, "amount-mismatch", "The amount differs from the one in the code", NotMoved, ActWallet, RetryNewKey, "13", 422, "A code that carries an amount is paid with exactly that amount."},
	{MessageMalformed, "message-malformed", "The message cannot be read", NotMoved, ActAcquirer, RetryNewKey, "30", 400, "The offset in the answer is where reading stopped."},
	{FieldMissing, "field-missing", "A required field is missing", NotMoved, ActAcquirer, RetryNewKey, "30", 400, ""},
	{FieldInvalid, "field-invalid", "A field has a form that is not allowed", NotMoved, ActAcquirer, RetryNewKey, "30", 400, ""},
	{FieldUnknown, "field-unknown", "A field is not known here", NotMoved, ActAcquirer, RetryNewKey, "30", 400, "Unknown fields are refused, since a misspelt amount must not pass as none."},
	{MessageTooLong, "message-too-long", "The message is longer than allowed", NotMoved, ActAcquirer, RetryNewKey, "30", 413, ""},
	{KeyMissing, "key-missing", "No idempotency key was given", NotMoved, ActAcquirer, RetryNewKey, "30", 400, "Send a key that is unique to this payment, and the same one when repeating it."},
	{CountryMismatch, "country-mismatch", "The scheme does not serve the code's country", NotMoved, ActWallet, RetryNever, "57", 422, ""},
	{OperationUnknown, "operation-unknown", "The operation is not offered", NotMoved, ActAcquirer, RetryNever, "40", 404, ""},
	{IssuerUnknown, "issuer-unknown", "No scheme of the directory issued this code", NotMoved, ActCashier, RetryNewCode, "92", 422, "`tongma directory route` shows which rules were tried."},
	{SchemeNotAccepted, "scheme-not-accepted", "This acquirer does not accept the code's scheme", NotMoved, ActCashier, RetryNewCode, "57", 422, ""},
	{ParticipantSuspended, "participant-suspended", "A participant is suspended", NotMoved, ActOperator, RetryLater, "91", 403, "Its debits are blocked, refunds that it would pay among them; credits go on."},
	{ParticipantUnknown, "participant-unknown", "The directory has no such participant", NotMoved, ActOperator, RetryNever, "03", 403, ""},
	{MerchantUnknown, "merchant-unknown", "The acquirer does not know this merchant", NotMoved, ActWallet, RetryNever, "03", 422, ""},
	{AdapterDown, "adapter-down", "The scheme's adapter is not there", NotMoved, ActScheme, RetryNewKey, "91", 503, "Nothing was sent. Try again with a new key."},
	{AdapterBusy, "adapter-busy", "The scheme's adapter takes no more work", NotMoved, ActScheme, RetryNewKey, "91", 503, ""},
	{DeadlineTooShort, "deadline-too-short", "The time left cannot cover this leg", NotMoved, ActAcquirer, RetryNewKey, "91", 504, "Nothing was sent to the scheme."},
	{SchemeSilent, "scheme-silent", "The scheme has not answered in time", MayHaveMoved, ActSwitch, RetrySameKey, "68", 202, "The switch is asking the scheme, and reverses if it cannot find out. The end is pushed as an event."},
	{PayerConfirming, "payer-confirming", "The payer is confirming in the wallet", MayHaveMoved, ActPayer, RetrySameKey, "09", 202, "Wait: the end is pushed as an event. Repeating with the same key shows the state."},
	{SchemeAnswerMalformed, "scheme-answer-malformed", "The scheme's answer cannot be read", MayHaveMoved, ActSwitch, RetrySameKey, "68", 202, "Treated as no answer: the switch asks again, then reverses."},
	{ReversedBySwitch, "reversed-by-switch", "The switch undid a payment whose outcome it could not learn", NotMoved, ActNobody, RetryNewCode, "68", 200, ""},
	{ReversedByAcquirer, "reversed-by-acquirer", "The acquirer reversed the payment", NotMoved, ActNobody, RetryNewCode, "17", 200, ""},
	{HoldExpired, "hold-expired", "The payer did not confirm in time", NotMoved, ActPayer, RetryNewCode, "68", 200, ""},
	{ReversedBeforeOriginal, "reversed-before-original", "The reversal arrived before the payment", NotMoved, ActNobody, RetryNewKey, "94", 409, "The payment was declined for good, so that a late copy cannot be paid."},
	{CurrencyNotServed, "currency-not-served", "The scheme does not serve this currency", NotMoved, ActCashier, RetryNewCode, "12", 422, ""},
	{ReversalPending, "reversal-pending", "The reversal is on its way to the scheme", MayHaveMoved, ActSwitch, RetrySameKey, "09", 202, "It is stored and sent until the scheme acknowledges it."},
	{ConsultFailed, "consult-failed", "No scheme would say that the code is its own", NotMoved, ActCashier, RetryNewCode, "92", 422, ""},
	{SponsorMissing, "sponsor-missing", "The participant that it settles through cannot take this", NotMoved, ActOperator, RetryLater, "91", 403, "The sponsor is suspended, has no account in this currency, or is itself sponsored."},
	{KeyUsedUp, "key-used-up", "The key was kept for a payment that was never made", NotMoved, ActAcquirer, RetryNewKey, "94", 409, "Nothing was sent, and under this key nothing ever will be: the payer has moved to another shard since the key was kept, or it was kept for another payer. Try again with a new key."},
	{InsufficientFunds, "insufficient-funds", "The payer's funds do not cover the amount", NotMoved, ActPayer, RetryNewCode, "51", 200, ""},
	{DoNotHonour, "do-not-honour", "The issuer declined without saying why", NotMoved, ActPayer, RetryNewCode, "05", 200, ""},
	{IssuerLimit, "issuer-limit", "The amount is over the payer's limit", NotMoved, ActPayer, RetryNewCode, "61", 200, ""},
	{IssuerCodeInvalid, "issuer-code-invalid", "The issuer does not know this code", NotMoved, ActPayer, RetryNewCode, "14", 200, ""},
	{IssuerCodeExpired, "issuer-code-expired", "The issuer says that the code has expired", NotMoved, ActPayer, RetryNewCode, "54", 200, ""},
	{NotPermitted, "not-permitted", "The issuer does not permit this kind of payment", NotMoved, ActPayer, RetryNewCode, "57", 200, ""},
	{SuspectedFraud, "suspected-fraud", "The issuer suspects fraud", NotMoved, ActIssuer, RetryNever, "59", 200, ""},
	{IssuerUnavailable, "issuer-unavailable", "The issuer cannot decide now", NotMoved, ActIssuer, RetryNewCode, "91", 200, ""},
	{PayerCancelled, "payer-cancelled", "The payer cancelled", NotMoved, ActNobody, RetryNewCode, "17", 200, ""},
	{TooManyAttempts, "too-many-attempts", "The payer's number of payments is over the limit", NotMoved, ActPayer, RetryLater, "65", 200, ""},
	{AccountRestricted, "account-restricted", "The payer's account is restricted", NotMoved, ActPayer, RetryNever, "62", 200, ""},
	{AcceptRefused, "accept-refused", "The acquirer does not accept the credit", NotMoved, ActAcquirer, RetryNewKey, "57", 200, ""},
	{UnknownToScheme, "unknown-to-scheme", "The scheme has no record of this payment", NotMoved, ActSwitch, RetrySameKey, "25", 404, ""},
	{OverCap, "over-cap", "The debit would pass the net debit cap", NotMoved, ActIssuer, RetryLater, "61", 200, "Position, holds and this amount together pass the cap. It frees up with credits, expiring holds or settlement."},
	{OverSchemeLimit, "over-scheme-limit", "The amount is over the scheme's limit for one payment", NotMoved, ActCashier, RetryNever, "61", 422, ""},
	{RefundExceeds, "refund-exceeds", "The refunds would pass the original amount", NotMoved, ActAcquirer, RetryNever, "13", 422, "Refunds under way count too."},
	{PositionOverflow, "position-overflow", "A position would pass what a number can hold", NotMoved, ActOperator, RetryNever, "96", 500, ""},
	{NoAccount, "no-account", "The participant has no account in this currency", NotMoved, ActOperator, RetryNever, "12", 422, "Give it a cap in this currency in the directory."},
	{NamesExhausted, "names-exhausted", "The books have no room for another name", NotMoved, ActOperator, RetryNever, "96", 500, "They hold 65,536 names of participants and schemes, old ones included."},
	{NotAuthenticated, "not-authenticated", "The caller has not proved who it is", NotMoved, ActAcquirer, RetryNever, "63", 401, ""},
	{NotPermittedHere, "not-permitted-here", "The caller may not do this", NotMoved, ActAcquirer, RetryNever, "58", 403, ""},
	{MACWrong, "mac-wrong", "The message's MAC does not match", NotMoved, ActAcquirer, RetryNever, "63", 401, "No business action was taken."},
	{NotSignedOn, "not-signed-on", "The link has not signed on", NotMoved, ActAcquirer, RetryLater, "58", 403, "Send 0800 with DE70 001 first."},
	{ExistsOtherParticipant, "exists-with-different-participant", "The key was used with another participant", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{ExistsOtherOperation, "exists-with-different-operation", "The key was used for another operation", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{ExistsOtherAmount, "exists-with-different-amount", "The key was used with another amount", NotMoved, ActAcquirer, RetryNever, "94", 422, "The first payment stands as it was. Use a new key for another payment."},
	{ExistsOtherCurrency, "exists-with-different-currency", "The key was used with another currency", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{ExistsOtherCode, "exists-with-different-code", "The key was used with another code", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{ExistsOtherOriginal, "exists-with-different-original", "The key was used for another original payment", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{ExistsOtherContent, "exists-with-different-content", "The key was used with other content", NotMoved, ActAcquirer, RetryNever, "94", 422, ""},
	{PaymentUnknown, "payment-unknown", "There is no such payment of yours", NotMoved, ActAcquirer, RetryNever, "25", 404, ""},
	{StateConflict, "state-conflict", "What this is about is in a state that does not allow it now", NotMoved, ActOperator, RetryLater, "12", 409, "Nothing was done. `tongma window show`, `tongma pay get` and `tongma status` say how it stands. What is being settled by another call is free again when that has ended; what has ended stays as it is."},
	{NotRefundable, "not-refundable", "Only an approved payment can be refunded", NotMoved, ActAcquirer, RetryNever, "12", 409, ""},
	{AlreadyRefunded, "already-refunded", "A refunded payment cannot be reversed", NotMoved, ActAcquirer, RetryNever, "12", 409, ""},
	{MakerIsChecker, "maker-is-checker", "Who proposed it may not approve or reject it", NotMoved, ActOperator, RetryNever, "58", 403, "A second person has to."},
	{CapChanged, "cap-changed", "The cap was changed since this one was proposed", NotMoved, ActOperator, RetryNewKey, "12", 409, "Look at the cap that stands, and propose again."},
	{TooEarly, "too-early", "Its time has not come yet", NotMoved, ActNobody, RetryLater, "12", 409, ""},
	{PositionsOpen, "positions-open", "The participant still owes, is owed, or has holds", NotMoved, ActOperator, RetryLater, "12", 409, "Settle what is open first."},
	{ProposalUnknown, "proposal-unknown", "Nothing of this name waits for a second person", NotMoved, ActOperator, RetryNever, "25", 404, "A first person proposes it; look at what waits."},
	{WindowUnknown, "window-unknown", "There is no such window", NotMoved, ActOperator, RetryNever, "25", 404, ""},
	{WindowNotOpen, "window-not-open", "The window is not open", NotMoved, ActOperator, RetryNever, "12", 409, ""},
	{WindowNotClosed, "window-not-closed", "The window is still open", NotMoved, ActOperator, RetryLater, "12", 409, ""},
	{SheetMismatch, "sheet-mismatch", "The net sheet differs from its items", NotMoved, ActOperator, RetryNever, "96", 500, "Stop and run `tongma audit`."},
	{ModelUnknown, "model-unknown", "No such settlement model is in force", NotMoved, ActOperator, RetryNever, "12", 422, "The directory names the models, and each one's first window is opened by it."},
	{CalendarUnknown, "calendar-unknown", "No calendar says whether that day is a business day", NotMoved, ActOperator, RetryLater, "96", 409, "Add the year to the calendar; nothing is cut off on a guess."},
	{CreditsWait, "credits-wait", "Credits are paid after all debits are collected", NotMoved, ActOperator, RetryLater, "12", 409, "`tongma window show` lists the debits that are missing."},
	{MoreThanDue, "more-than-due", "The amount is more than is due", NotMoved, ActOperator, RetryNever, "13", 409, ""},
	{NotShort, "not-short", "The agent has not refused this participant's debit", NotMoved, ActOperator, RetryNever, "12", 409, "Others pay only for who was found short."},
	{FundsMissing, "funds-missing", "There is not so much to pay from", NotMoved, ActOperator, RetryNever, "51", 409, ""},
	{AgentRejected, "agent-rejected", "The settlement agent refused the instruction", NotMoved, ActOperator, RetryLater, "51", 409, "The window stays as it is. `tongma window show` says whose leg it is."},
	{AgentSilent, "agent-silent", "The settlement agent has not answered", MayHaveMoved, ActOperator, RetrySameKey, "68", 202, "The same instruction is asked about again; sent twice it moves money once."},
	{BreakUnknown, "break-unknown", "There is no such break", NotMoved, ActOperator, RetryNever, "25", 404, ""},
	{InstructionUnknown, "instruction-unknown", "No such instruction is due in this window", NotMoved, ActOperator, RetryNever, "25", 404, "`tongma window show` lists those that are; an id changes once a part was confirmed or refused."},
	{AgentContradicts, "agent-contradicts", "The settlement agent itself says otherwise", MayHaveMoved, ActOperator, RetryLater, "12", 409, "Ask the agent which of the two is true: nothing was written, and the window waits."},
	{DisputeUnknown, "dispute-unknown", "There is no such dispute of yours", NotMoved, ActIssuer, RetryNever, "25", 404, ""},
	{DisputeExceeds, "dispute-exceeds", "More is disputed than is left of the payment", NotMoved, ActIssuer, RetryNever, "13", 422, "Refunds, chargebacks and open disputes count: a return and a chargeback never both pay."},
	{DisputeLate, "dispute-late", "The time for this is over", NotMoved, ActIssuer, RetryNever, "12", 409, ""},
	{DisputeTurn, "dispute-turn", "It is not this party's turn in the dispute, or the dispute is closed", NotMoved, ActNobody, RetryLater, "12", 409, "Nothing was written. `tongma dispute show` says whose turn it is, what that party may do and until when. What is closed takes nothing more."},
	{DisputeOpen, "dispute-open", "The payment is disputed", NotMoved, ActAcquirer, RetryLater, "12", 409, "Accept the dispute to give the money back."},
	{QuoteUnknown, "quote-unknown", "There is no such quote for the asker, or none was named", NotMoved, ActWallet, RetryNewKey, "12", 404, "Resolve the code again with the amount, show the payer what it comes to, and name that quote under a new key. Quotes end when another switch takes over."},
	{QuoteExpired, "quote-expired", "The quote's time is over", NotMoved, ActWallet, RetryNewKey, "12", 409, "Ask for a fresh quote."},
	{QuoteMismatch, "quote-mismatch", "The quote is for another shop, amount or currency", NotMoved, ActWallet, RetryNewKey, "13", 422, "Pay the shop and the amount that the quote was given for, or resolve the code again for another quote."},
	{NoQuote, "no-quote", "Nobody exchanges these currencies now", NotMoved, ActCashier, RetryLater, "12", 422, "Pay by another wallet, or try again in a moment."},
	{QuoteSpent, "quote-spent", "The quote was used for another payment", NotMoved, ActWallet, RetryNewKey, "94", 409, ""},
	{FrameLength, "frame-length", "The frame's length is out of bounds", NotMoved, ActAcquirer, RetryNewKey, "30", 400, "The link is closed, since what follows cannot be trusted."},
	{FrameIncomplete, "frame-incomplete", "The frame stopped half way", NotMoved, ActAcquirer, RetryNewKey, "30", 400, "The link is closed."},
	{FieldUnreadable, "field-unreadable", "An ISO 8583 field cannot be read", NotMoved, ActAcquirer, RetryNewKey, "30", 400, ""},
	{TrailingBytes, "trailing-bytes", "Bytes follow the last field", NotMoved, ActAcquirer, RetryNewKey, "30", 400, ""},
	{MTIUnknown, "mti-unknown", "The message type is not served", NotMoved, ActAcquirer, RetryNever, "40", 400, ""},
	{LinkUnknown, "link-unknown", "DE32 is not the acquirer of this link", NotMoved, ActAcquirer, RetryNever, "31", 403, ""},
	{JournalStopped, "journal-stopped", "The journal cannot be written", NotMoved, ActOperator, RetryLater, "96", 503, "The switch takes no payments until it is restarted on a good disk."},
	{JournalInDoubt, "journal-in-doubt", "Whether the journal holds this is being found out", MayHaveMoved, ActSwitch, RetrySameKey, "96", 202, "Repeat with the same key."},
	{SteppedDown, "stepped-down", "Another switch has taken over", MayHaveMoved, ActSwitch, RetrySameKey, "91", 503, "Repeat with the same key."},
	{ShuttingDown, "shutting-down", "The switch is shutting down", NotMoved, ActSwitch, RetryNewKey, "91", 503, ""},
	{Overloaded, "overloaded", "The switch takes no more work", NotMoved, ActSwitch, RetryLater, "91", 503, ""},
	{SetupInvalid, "setup-invalid", "The installation is not set up as it must be", NotMoved, ActOperator, RetryNever, "96", 503, "What is wrong, and where, stands beside this."},
	{Internal, "internal", "Unexpected fault in the switch", MayHaveMoved, ActOperator, RetrySameKey, "96", 500, "Please report it with the payment id."},
}

var (
	reasonByNumber [10000]*ReasonInfo
	reasonBySlug   = make(map[string]Reason, len(reasons))
)

func init() {
	for i := range reasons {
		reasonByNumber[reasons[i].Reason] = &reasons[i]
		reasonBySlug[reasons[i].Slug] = reasons[i].Reason
	}
}

// Reasons returns the whole catalogue, ordered by number, without NoReason.
func Reasons() []ReasonInfo { return append([]ReasonInfo(nil), reasons[1:]...) }

// Info returns the row of r. An unknown number gets the row of Internal, since a
// number that nobody explains is a fault of the switch.
func (r Reason) Info() ReasonInfo {
	if int(r) < len(reasonByNumber) && reasonByNumber[r] != nil {
		return *reasonByNumber[r]
	}
	return *reasonByNumber[Internal]
}

// Known tells whether the catalogue has a row for r.
func (r Reason) Known() bool { return int(r) < len(reasonByNumber) && reasonByNumber[r] != nil }

// Code returns the reason as people quote it: "TM-2103".
func (r Reason) Code() string { return fmt.Sprintf("TM-%04d", uint16(r)) }

// String returns the slug, such as "over-cap".
func (r Reason) String() string { return r.Info().Slug }

// ParseReason reads a number, a code or a slug: "2103", "TM-2103", "issuer-limit".
func ParseReason(s string) (Reason, bool) {
	if r, ok := reasonBySlug[s]; ok {
		return r, true
	}
	digits := strings.TrimPrefix(strings.ToUpper(s), "TM-")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || !Reason(n).Known() {
		return NoReason, false
	}
	return Reason(n), true
}
