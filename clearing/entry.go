package clearing

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// Kind says what an entry records. Numbers are given once and never reused.
type Kind uint8

const (
	KindNone        Kind = 0
	KindDirectory   Kind = 1  // a directory version comes into force
	KindCap         Kind = 2  // a participant's net debit cap in one currency
	KindSuspend     Kind = 3  // a participant's debits are blocked
	KindResume      Kind = 4  // and allowed again
	KindOpen        Kind = 5  // the first window of a settlement model opens
	KindCapProposed Kind = 6  // somebody proposes another cap: nothing changes yet
	KindCapApproved Kind = 7  // somebody else approves it: from here on it is the cap
	KindCapRejected Kind = 8  // somebody else rejects it
	KindDeposit     Kind = 9  // prefunding came in: the limit is the cap and this
	KindRefuse      Kind = 10 // asked and refused: no hold, but the key is used up
	KindHold        Kind = 11 // the debtor's amount is held
	KindPend        Kind = 12 // the payer is confirming; the hold stays
	KindPost        Kind = 13 // the hold becomes a posted debit and credit
	KindVoid        Kind = 14 // the scheme said no: the hold is released
	KindReversing   Kind = 15 // it will be undone: from here on a yes does not count
	KindReversed    Kind = 16 // undone: the hold released, or the posting turned back
	KindTombstone   Kind = 17 // reversed before it arrived: the key is used up
	KindExpire      Kind = 18 // the hold is dropped: its time is over, and nobody needs to be told
	KindWithdraw    Kind = 19 // prefunding went out again
	KindClose       Kind = 20 // a window closes, and the next one of its model opens
	KindInstruct    Kind = 21 // the net sheet of a closed window goes to the settlement agent
	KindSettle      Kind = 22 // a leg of the sheet, or a part of one, was confirmed
	KindSettled     Kind = 23 // every leg was confirmed
	KindShort       Kind = 24 // the agent refused a debit: its debtor is short, and suspended
	KindCover       Kind = 25 // somebody, or the debtor's own prefunding, paid what a debtor was short of
	KindDefer       Kind = 26 // a posted payment is moved out of a window that cannot settle
	KindRecast      Kind = 27 // the sheet of a window is drawn up anew, without what was deferred
	KindSponsor     Kind = 28 // a sub-participant settles through a sponsor from now on, or through none
	KindDispute     Kind = 29 // the payer's network disputes a payment
	KindDisputeStep Kind = 30 // a dispute comes to its next stage; by an end of it money may go back

	KindCoverAsked   Kind = 38 // somebody, or the debtor's own prefunding, is about to be asked to pay for one who is short
	KindCoverRefused Kind = 39 // the agent refused that: nothing moved, and nothing will under its id
	KindWord         Kind = 40 // a person says what the agent did with an instruction: nothing changes until another says the same
	KindWordRejected Kind = 41 // that word is taken back
	KindRetry        Kind = 42 // what the agent refused is about to be sent to it again, under an id of its own
	// Of a switch that is one of several shards: see shard.go.
	KindCarryOut Kind = 31 // room of a participant leaves for another shard
	KindCarryIn  Kind = 32 // and comes in there
	KindGather   Kind = 33 // the head takes in what a window of another shard comes to, or a page of it
	KindClaim    Kind = 34 // an asker's key is given to the shard that holds its payment
	KindHome     Kind = 35 // a participant is at home in another shard from now on; without one: which shard this is
)

var kindNames = [256]string{
	KindDirectory: "directory", KindCap: "cap", KindSuspend: "suspend", KindResume: "resume", KindOpen: "open",
	KindRefuse: "refuse", KindHold: "hold", KindPend: "pend", KindPost: "post", KindVoid: "void",
	KindReversing: "reversing", KindReversed: "reversed", KindTombstone: "tombstone",
	KindCapProposed: "cap-proposed", KindCapApproved: "cap-approved", KindCapRejected: "cap-rejected",
	KindDeposit: "deposit", KindWithdraw: "withdraw", KindExpire: "expire",
	KindClose: "close", KindInstruct: "instruct", KindSettle: "settle", KindSettled: "settled",
	KindShort: "short", KindCover: "cover", KindDefer: "defer", KindRecast: "recast", KindSponsor: "sponsor", KindDispute: "dispute", KindDisputeStep: "dispute-step",
	KindCoverAsked: "cover-asked", KindCoverRefused: "cover-refused", KindWord: "word", KindWordRejected: "word-rejected", KindRetry: "retry",
	KindCarryOut: "carry-out", KindCarryIn: "carry-in", KindGather: "gather", KindClaim: "claim", KindHome: "home",
}

// String returns the name that dumps and scripts use.
func (k Kind) String() string {
	if name := kindNames[k]; name != "" {
		return name
	}
	return "unknown"
}

// Digest is a keyed or plain digest, cut to 16 bytes.
type Digest [16]byte

// Entry is one record of the journal. Each kind uses some of the fields; the
// others stay zero and take no room. Once written it is never changed.
type Entry struct {
	Number     uint64 // gapless, from 1
	Kind       Kind
	Late       bool  // the asker had been told "pending": tell it the end
	KeepCode   bool  // the payer's code may be presented again
	Time       int64 // Unix milliseconds, given by the writer, never decreasing
	Payment    tongma.PaymentID
	Original   tongma.PaymentID     // refund: what it gives back of; dispute: what is disputed
	Op         tongma.Operation     // pay, transfer or refund
	Asker      tongma.ParticipantID // cover: the creditor of the leg, if that is not the settlement account
	Key        string               // idempotency key, the asker's; id of a proposed cap, a deposit or a withdrawal
	Debtor     tongma.ParticipantID // pays the creditor; subject of caps, suspend, resume, deposit and withdraw; short and cover: who is short; sponsor: who has one
	Creditor   tongma.ParticipantID // settle and short: empty if the leg's other side is the settlement account, as Debtor may be; cover: who pays; sponsor: who settles for it, empty for nobody
	Scheme     tongma.SchemeID
	Amount     tongma.Money // the payment's; what is posted of it, or turned back; the cap's; the settled leg's
	AuthWindow tongma.WindowID
	Window     tongma.WindowID // post, and reversed if it turns a posting back: clearing window; close, instruct, settle(d), short, cover, recast: which one; defer: out of which one
	Expiry     int64           // dispute, dispute-step: by when the next party has to act; hold: Unix milliseconds after which the switch gives up waiting for the payer
	Content    Digest          // of what was asked, for telling a repeat from another request
	Code       Digest          // keyed digest of the payer's code
	CodeTail   string          // its last four digits
	Reason     tongma.Reason
	SchemeRef  string // settle, short and cover: id of the instruction
	Approval   string
	Merchant   string // the acquirer's merchant number
	Order      string
	Directory  uint64   // version in force
	Hash       [32]byte // directory: of its bytes; instruct, settle(d), recast: of the net sheet
	Salt       []byte   // place for the salt of a commitment; at most 32 bytes
	Legs       []Leg    // post, and reversed if it turns a posting back: the fees that move with it, in order
	Maker      string   // who proposed a cap
	Checker    string   // who approved or rejected it: somebody else

	Model     string               // settlement model of a payment or a window; "" is the one that every book has
	Method    calendar.Model       // open, close: how the window that opens is settled; zero is multilateral
	Cutoff    int64                // close: Unix milliseconds that the schedule named; zero if it was closed by hand
	ValueDate uint32               // close: yyyymmdd on which it settles
	Calendar  string               // close: the calendars' versions by which both were found
	Stage     dispute.Stage        // dispute, dispute-step: that it comes to
	Dealer    tongma.ParticipantID // hold, post, reversed: gets Amount from the debtor, and pays Target to the creditor; empty if there is one currency
	Target    tongma.Money         // what the creditor gets
	Quote     string               // hold: id of the dealer's quote, which is used once
	Rate      string               // hold: by which Target follows from Amount, or the other way round, as exchange.Terms writes it

	Shard    uint16          // carry-out: to which; carry-in, gather: of which; claim: which has the payment; home: where
	Shards   uint16          // close of the head: how many shards its sheet is gathered of; home without a participant: how many there are
	Sequence uint64          // carry: its number between the two shards; gather: its page; home: how often the participant has moved
	Upto     uint64          // carry-out: up to which number the other shard has confirmed; gather: how many pages there are
	Linked   tongma.WindowID // close, settled: the window of the head that this one is gathered into; gather: the window of the shard
	Cells    []Obligation    // gather: of the bilateral matrix
	Terms    []Terms         // home: what goes with the participant

	Until int64 // of a hold that is proposed, and never on disk: Unix milliseconds after which its quote may not be used; zero: for ever
	Try   bool  // of a hold that is proposed, and never on disk: if there is no room, it is not to be refused but left unwritten
}

// field numbers of the canonical form; the order is the order on disk.
const (
	fLate = iota
	fKeepCode
	fTime
	fPayment
	fOriginal
	fOp
	fAsker
	fKey
	fDebtor
	fCreditor
	fScheme
	fAmount
	fAuthWindow
	fWindow
	fExpiry
	fContent
	fCode
	fCodeTail
	fReason
	fSchemeRef
	fApproval
	fMerchant
	fOrder
	fDirectory
	fHash
	fSalt
	fLegs
	fMaker
	fChecker
	fieldsInFirst
)

// The fields of the second word of bits, which follows the first if bit 31 of that is
// set. What has none of them is written as it was before there were any.
const (
	fModel = 32 + iota
	fMethod
	fCutoff
	fValueDate
	fCalendar
	fStage
	fDealer
	fTarget
	fQuote
	fRate
	fShard
	fShards
	fSequence
	fUpto
	fLinked
	fCells
	fTerms
	fieldCount
	secondWord = 31
)

// AppendTo appends the canonical bytes: kind, number, a bit for each field that
// is present, then those fields in order. Equal entries have equal bytes.
func (e *Entry) AppendTo(b []byte) []byte {
	has := e.fields()
	b = binary.AppendUvarint(append(b, byte(e.Kind)), e.Number)
	b = binary.BigEndian.AppendUint32(b, uint32(has))
	if has>>32 != 0 {
		b = binary.BigEndian.AppendUint32(b, uint32(has>>32))
	}
	b = appendNumber(b, has, fTime, e.Time)
	b = appendFixed(b, has, fPayment, e.Payment[:])
	b = appendFixed(b, has, fOriginal, e.Original[:])
	b = appendNumber(b, has, fOp, int64(e.Op))
	b = appendText(b, has, fAsker, string(e.Asker))
	b = appendText(b, has, fKey, e.Key)
	b = appendText(b, has, fDebtor, string(e.Debtor))
	b = appendText(b, has, fCreditor, string(e.Creditor))
	b = appendText(b, has, fScheme, string(e.Scheme))
	b = appendMoney(b, has, fAmount, e.Amount)
	b = appendNumber(b, has, fAuthWindow, int64(e.AuthWindow))
	b = appendNumber(b, has, fWindow, int64(e.Window))
	b = appendNumber(b, has, fExpiry, e.Expiry)
	b = appendFixed(b, has, fContent, e.Content[:])
	b = appendFixed(b, has, fCode, e.Code[:])
	b = appendText(b, has, fCodeTail, e.CodeTail)
	b = appendNumber(b, has, fReason, int64(e.Reason))
	b = appendText(b, has, fSchemeRef, e.SchemeRef)
	b = appendText(b, has, fApproval, e.Approval)
	b = appendText(b, has, fMerchant, e.Merchant)
	b = appendText(b, has, fOrder, e.Order)
	b = appendNumber(b, has, fDirectory, int64(e.Directory))
	if has>>fHash == 0 { // nothing but a payment's
		return b
	}
	b = appendFixed(b, has, fHash, e.Hash[:])
	b = appendText(b, has, fSalt, string(e.Salt))
	if has&(1<<fLegs) != 0 {
		b = appendLegs(b, e.Legs)
	}
	b = appendText(b, has, fMaker, e.Maker)
	b = appendText(b, has, fChecker, e.Checker)
	b = appendText(b, has, fModel, e.Model)
	b = appendNumber(b, has, fMethod, int64(e.Method))
	b = appendNumber(b, has, fCutoff, e.Cutoff)
	b = appendNumber(b, has, fValueDate, int64(e.ValueDate))
	b = appendText(b, has, fCalendar, e.Calendar)
	b = appendNumber(b, has, fStage, int64(e.Stage))
	b = appendText(b, has, fDealer, string(e.Dealer))
	b = appendMoney(b, has, fTarget, e.Target)
	b = appendText(b, has, fQuote, e.Quote)
	b = appendText(b, has, fRate, e.Rate)
	b = appendNumber(b, has, fShard, int64(e.Shard))
	b = appendNumber(b, has, fShards, int64(e.Shards))
	b = appendNumber(b, has, fSequence, int64(e.Sequence))
	b = appendNumber(b, has, fUpto, int64(e.Upto))
	b = appendNumber(b, has, fLinked, int64(e.Linked))
	if has&(1<<fCells) != 0 {
		b = appendCells(b, e.Cells)
	}
	if has&(1<<fTerms) != 0 {
		b = appendTerms(b, e.Terms)
	}
	return b
}

// fields returns the bits of the fields that are present.
func (e *Entry) fields() uint64 {
	has := bit(fLate, e.Late) | bit(fKeepCode, e.KeepCode) | bit(fTime, e.Time != 0) | bit(fPayment, !e.Payment.IsZero()) |
		bit(fOriginal, !e.Original.IsZero()) | bit(fOp, e.Op != 0) | bit(fAsker, e.Asker != "") | bit(fKey, e.Key != "") |
		bit(fDebtor, e.Debtor != "") | bit(fCreditor, e.Creditor != "") | bit(fScheme, e.Scheme != "") |
		bit(fAmount, e.Amount != tongma.Money{}) | bit(fAuthWindow, e.AuthWindow != 0) | bit(fWindow, e.Window != 0) |
		bit(fExpiry, e.Expiry != 0) | bit(fContent, e.Content != Digest{}) | bit(fCode, e.Code != Digest{}) |
		bit(fCodeTail, e.CodeTail != "") | bit(fReason, e.Reason != 0) | bit(fSchemeRef, e.SchemeRef != "") |
		bit(fApproval, e.Approval != "") | bit(fMerchant, e.Merchant != "") | bit(fOrder, e.Order != "") |
		bit(fDirectory, e.Directory != 0) | bit(fHash, e.Hash != [32]byte{}) | bit(fSalt, len(e.Salt) > 0) |
		bit(fLegs, len(e.Legs) > 0) | bit(fMaker, e.Maker != "") | bit(fChecker, e.Checker != "")
	more := bit(fModel, e.Model != "") | bit(fMethod, e.Method != 0) | bit(fCutoff, e.Cutoff != 0) | bit(fValueDate, e.ValueDate != 0) |
		bit(fCalendar, e.Calendar != "") | bit(fStage, e.Stage != 0) | bit(fDealer, e.Dealer != "") |
		bit(fTarget, e.Target != tongma.Money{}) | bit(fQuote, e.Quote != "") | bit(fRate, e.Rate != "") | bit(fShard, e.Shard != 0) |
		bit(fShards, e.Shards != 0) | bit(fSequence, e.Sequence != 0) | bit(fUpto, e.Upto != 0) | bit(fLinked, e.Linked != 0) |
		bit(fCells, len(e.Cells) > 0) | bit(fTerms, len(e.Terms) > 0)
	return has | more | bit(secondWord, more != 0)
}

// bit is 1<<f if on.
func bit(f int, on bool) uint64 {
	var one uint64
	if on {
		one = 1
	}
	return one << f
}

func appendText(b []byte, has uint64, f int, s string) []byte {
	if has&(1<<f) != 0 {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

func appendNumber(b []byte, has uint64, f int, n int64) []byte {
	if has&(1<<f) != 0 {
		b = binary.AppendVarint(b, n)
	}
	return b
}

func appendFixed(b []byte, has uint64, f int, x []byte) []byte {
	if has&(1<<f) != 0 {
		b = append(b, x...)
	}
	return b
}

func appendMoney(b []byte, has uint64, f int, m tongma.Money) []byte {
	if has&(1<<f) != 0 {
		b = binary.BigEndian.AppendUint16(binary.AppendVarint(b, m.Minor), uint16(m.Currency))
	}
	return b
}

// appendLegs appends how many there are and, of each, what it is for, what a
// refund does with it, from whom, to whom and how much.
func appendLegs(b []byte, legs []Leg) []byte {
	b = binary.AppendUvarint(b, uint64(len(legs)))
	for i := range legs {
		l := &legs[i]
		b = append(b, byte(l.Kind), byte(l.OnRefund))
		b = append(binary.AppendUvarint(b, uint64(len(l.From))), l.From...)
		b = append(binary.AppendUvarint(b, uint64(len(l.To))), l.To...)
		b = binary.AppendVarint(b, l.Amount.Minor)
		b = binary.BigEndian.AppendUint16(b, uint16(l.Amount.Currency))
	}
	return b
}

// entryReader takes fields off the front; the first fault stops it.
type entryReader struct {
	b    []byte
	bad  bool
	bits uint64
}

func (r *entryReader) has(f int) bool { return !r.bad && r.bits&(1<<f) != 0 }

func (r *entryReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *entryReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || (n > 1 && r.b[n-1] == 0) { // a longer form of the same number is not canonical
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *entryReader) varint() int64 {
	u := r.uvarint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

func (r *entryReader) number(f int, low, high int64) int64 {
	if !r.has(f) {
		return 0
	}
	v := r.varint()
	if v == 0 || v < low || v > high {
		r.bad = true
	}
	return v
}

func (r *entryReader) text(f, limit int) string {
	if !r.has(f) {
		return ""
	}
	return r.name(limit)
}

// name takes text that is there for certain.
func (r *entryReader) name(limit int) string {
	n := r.uvarint()
	if n == 0 || n > uint64(limit) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

func (r *entryReader) legs(f int) []Leg {
	if !r.has(f) {
		return nil
	}
	n := r.uvarint()
	if n == 0 || n > MaxLegs {
		r.bad = true
		return nil
	}
	legs := make([]Leg, n)
	for i := range legs {
		l := &legs[i]
		if b := r.take(2); b != nil {
			l.Kind, l.OnRefund = schemes.FeeKind(b[0]), schemes.OnRefund(b[1])
		}
		l.From, l.To = tongma.ParticipantID(r.name(maxName)), tongma.ParticipantID(r.name(maxName))
		l.Amount.Minor = r.varint()
		if c := r.take(2); c != nil {
			l.Amount.Currency = tongma.Currency(binary.BigEndian.Uint16(c))
		}
	}
	r.bad = r.bad || !legsFit(legs)
	return legs
}

func (r *entryReader) fixed(f int, dst []byte) {
	if r.has(f) {
		zero := byte(0)
		for i, c := range r.take(len(dst)) {
			dst[i] = c
			zero |= c
		}
		r.bad = r.bad || zero == 0
	}
}

// Bounds of a field, in bytes or as a number.
const (
	maxName     = 32
	maxRef      = 64
	maxApproval = 6
	maxMerchant = 35
	maxTail     = 4
	maxSalt     = 32
	maxReason   = 9999
	maxNumber   = 1 << 62
	maxCalendar = 128
	maxDate     = 99991231
)

// fits tells whether ParseEntry will read back what AppendTo writes. What does
// not fit may not be written: it would be durable, and the end of every replay.
func (e *Entry) fits() bool {
	return len(e.Asker) <= maxName && len(e.Debtor) <= maxName && len(e.Creditor) <= maxName && len(e.Scheme) <= maxName && len(e.Key) <= tongma.MaxKey &&
		len(e.SchemeRef) <= maxRef && len(e.Order) <= maxRef && len(e.Approval) <= maxApproval && len(e.Merchant) <= maxMerchant &&
		len(e.CodeTail) <= maxTail && len(e.Salt) <= maxSalt && len(e.Maker) <= maxName && len(e.Checker) <= maxName && e.Reason <= maxReason &&
		len(e.Model) <= maxName && len(e.Calendar) <= maxCalendar && len(e.Dealer) <= maxName && len(e.Quote) <= maxRef && len(e.Rate) <= maxRate &&
		e.ValueDate <= maxDate && e.Method <= calendar.Gross && kindNames[e.Kind] != "" && e.Time >= 0 && e.Time <= maxNumber && e.Expiry >= 0 && e.Expiry <= maxNumber &&
		e.AuthWindow <= maxNumber && e.Window <= maxNumber && e.Directory <= maxNumber && legsFit(e.Legs) &&
		e.Method != calendar.Multilateral && e.Cutoff >= 0 && e.Cutoff <= maxNumber && (e.Stage == dispute.NoStage || e.Stage.Known()) &&
		e.Sequence <= maxNumber && e.Upto <= maxNumber && e.Linked <= maxNumber && cellsFit(e.Cells) && termsFit(e.Terms)
}

// askable tells whether the entry may be proposed: it fits, or will as it is completed.
func (e *Entry) askable() bool {
	method, at := e.Method, e.Time
	e.Method, e.Time = plainMethod(method), 0
	ok := e.fits()
	e.Method, e.Time = method, at
	return ok
}

// ParseEntry reads canonical bytes. Anything that AppendTo would not have
// written is refused, so that equal entries have equal bytes.
func ParseEntry(data []byte) (Entry, error) {
	var e Entry
	r := entryReader{b: data}
	if kind := r.take(1); kind != nil {
		e.Kind = Kind(kind[0])
	}
	e.Number = r.uvarint()
	if bits := r.take(4); bits != nil {
		r.bits = uint64(binary.BigEndian.Uint32(bits))
	}
	if r.has(secondWord) {
		if bits := r.take(4); bits != nil {
			r.bits = r.bits&^(1<<secondWord) | uint64(binary.BigEndian.Uint32(bits))<<32
		}
		r.bad = r.bad || r.bits>>32 == 0
	}
	if uint32(r.bits)>>fieldsInFirst != 0 || r.bits>>fieldCount != 0 {
		r.bad = true
	}
	e.Late, e.KeepCode = r.has(fLate), r.has(fKeepCode)
	e.Time = r.number(fTime, 0, maxNumber)
	r.fixed(fPayment, e.Payment[:])
	r.fixed(fOriginal, e.Original[:])
	e.Op = tongma.Operation(r.number(fOp, 0, 255))
	e.Asker = tongma.ParticipantID(r.text(fAsker, maxName))
	e.Key = r.text(fKey, tongma.MaxKey)
	e.Debtor = tongma.ParticipantID(r.text(fDebtor, maxName))
	e.Creditor = tongma.ParticipantID(r.text(fCreditor, maxName))
	e.Scheme = tongma.SchemeID(r.text(fScheme, maxName))
	if r.has(fAmount) {
		e.Amount.Minor = r.varint()
		if c := r.take(2); c != nil {
			e.Amount.Currency = tongma.Currency(binary.BigEndian.Uint16(c))
		}
		r.bad = r.bad || e.Amount == tongma.Money{}
	}
	e.AuthWindow = tongma.WindowID(r.number(fAuthWindow, 0, maxNumber))
	e.Window = tongma.WindowID(r.number(fWindow, 0, maxNumber))
	e.Expiry = r.number(fExpiry, 0, maxNumber)
	r.fixed(fContent, e.Content[:])
	r.fixed(fCode, e.Code[:])
	e.CodeTail = r.text(fCodeTail, maxTail)
	e.Reason = tongma.Reason(r.number(fReason, 0, maxReason))
	e.SchemeRef = r.text(fSchemeRef, maxRef)
	e.Approval = r.text(fApproval, maxApproval)
	e.Merchant = r.text(fMerchant, maxMerchant)
	e.Order = r.text(fOrder, maxRef)
	e.Directory = uint64(r.number(fDirectory, 0, maxNumber))
	r.fixed(fHash, e.Hash[:])
	if s := r.text(fSalt, maxSalt); s != "" {
		e.Salt = []byte(s)
	}
	e.Legs = r.legs(fLegs)
	e.Maker, e.Checker = r.text(fMaker, maxName), r.text(fChecker, maxName)
	e.Model = r.text(fModel, maxName)
	e.Method = calendar.Model(r.number(fMethod, int64(calendar.Bilateral), int64(calendar.Gross)))
	e.Cutoff = r.number(fCutoff, 0, maxNumber)
	e.ValueDate = uint32(r.number(fValueDate, 0, maxDate))
	e.Calendar = r.text(fCalendar, maxCalendar)
	if e.Stage = dispute.Stage(r.number(fStage, 1, 255)); r.has(fStage) && !e.Stage.Known() {
		r.bad = true
	}
	e.Dealer = tongma.ParticipantID(r.text(fDealer, maxName))
	if r.has(fTarget) {
		e.Target.Minor = r.varint()
		if c := r.take(2); c != nil {
			e.Target.Currency = tongma.Currency(binary.BigEndian.Uint16(c))
		}
		r.bad = r.bad || e.Target == tongma.Money{}
	}
	e.Quote, e.Rate = r.text(fQuote, maxRef), r.text(fRate, maxRate)
	e.Shard, e.Shards = uint16(r.number(fShard, 0, math.MaxUint16)), uint16(r.number(fShards, 0, math.MaxUint16))
	e.Sequence, e.Upto = uint64(r.number(fSequence, 0, maxNumber)), uint64(r.number(fUpto, 0, maxNumber))
	e.Linked = tongma.WindowID(r.number(fLinked, 0, maxNumber))
	e.Cells, e.Terms = r.cells(fCells), r.terms(fTerms)
	if r.bad || len(r.b) != 0 || kindNames[e.Kind] == "" {
		return Entry{}, &tongma.Error{Op: "clearing.ParseEntry", Reason: tongma.Internal, Offset: len(data) - len(r.b), Detail: "not a canonical entry"}
	}
	return e, nil
}

// Line is an entry as `tongma journal dump` and the HTTP API show it. The names
// are documented in docs/journal.md, and an outsider can recompute every figure
// from them.
type Line struct {
	Entry          uint64 `json:"entry"`
	Kind           string `json:"kind"`
	Time           string `json:"time"`
	Batch          uint64 `json:"batch"`
	Hash           string `json:"hash"` // SHA-256 of the entry's canonical bytes behind a zero byte, as RFC 6962 hashes a leaf
	Payment        string `json:"payment,omitempty"`
	Original       string `json:"original,omitempty"`
	Operation      string `json:"operation,omitempty"`
	Asker          string `json:"asker,omitempty"`
	Key            string `json:"key,omitempty"`
	Debtor         string `json:"debtor,omitempty"`
	Creditor       string `json:"creditor,omitempty"`
	Scheme         string `json:"scheme,omitempty"`
	AmountMin      *int64 `json:"amount_minor,omitempty"`
	Currency       string `json:"currency,omitempty"`
	AuthWindow     uint64 `json:"auth_window,omitempty"`
	Window         uint64 `json:"window,omitempty"`
	Expiry         string `json:"expiry,omitempty"`
	CodeDigest     string `json:"code_digest,omitempty"`
	CodeTail       string `json:"code_tail,omitempty"`
	Content        string `json:"content_digest,omitempty"`
	Reason         string `json:"reason,omitempty"`
	ReasonName     string `json:"reason_name,omitempty"`
	SchemeRef      string `json:"scheme_ref,omitempty"`
	Approval       string `json:"approval,omitempty"`
	Merchant       string `json:"merchant,omitempty"`
	Order          string `json:"order,omitempty"`
	Directory      uint64 `json:"directory,omitempty"`
	Sheet          string `json:"sheet_hash,omitempty"`
	Late           bool   `json:"late,omitempty"`
	KeepCode       bool   `json:"keep_code,omitempty"`
	Fees           []Fee  `json:"fees,omitempty"`
	Maker          string `json:"maker,omitempty"`
	Checker        string `json:"checker,omitempty"`
	Model          string `json:"model,omitempty"`
	Method         string `json:"method,omitempty"` // "bilateral" or "gross"; none is multilateral
	Cutoff         string `json:"cutoff,omitempty"`
	ValueDate      uint32 `json:"value_date,omitempty"` // yyyymmdd
	Calendar       string `json:"calendar,omitempty"`
	Stage          string `json:"stage,omitempty"` // of a dispute
	Dealer         string `json:"dealer,omitempty"`
	TargetMin      *int64 `json:"target_minor,omitempty"`
	TargetCurrency string `json:"target_currency,omitempty"`
	Quote          string `json:"quote,omitempty"`
	Rate           string `json:"rate,omitempty"`

	Shard    uint16     `json:"shard,omitempty"`
	Shards   uint16     `json:"shards,omitempty"`
	Sequence uint64     `json:"sequence,omitempty"`
	Upto     uint64     `json:"upto,omitempty"`
	Linked   uint64     `json:"linked_window,omitempty"`
	Cells    []CellLine `json:"cells,omitempty"`
	Terms    []TermLine `json:"terms,omitempty"`
}

// Fee is a fee leg as a Line shows it, in the currency of the line.
type Fee struct {
	Kind      string `json:"fee"`
	From      string `json:"from"`
	To        string `json:"to"`
	AmountMin int64  `json:"fee_minor"`
	OnRefund  string `json:"on_refund"`
}

// LeafHash is the hash of an entry's canonical bytes as a Merkle leaf.
func LeafHash(canonical []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(canonical)
	return [32]byte(h.Sum(nil))
}

// NewLine renders the entry that stands in the given batch with the given
// canonical bytes.
func NewLine(e *Entry, batch uint64, canonical []byte) Line {
	leaf := LeafHash(canonical)
	l := Line{Entry: e.Number, Kind: e.Kind.String(), Time: stamp(e.Time), Batch: batch, Hash: hex.EncodeToString(leaf[:]),
		Payment: e.Payment.String(), Original: e.Original.String(), Operation: e.Op.String(), Asker: string(e.Asker), Key: e.Key,
		Debtor: string(e.Debtor), Creditor: string(e.Creditor), Scheme: string(e.Scheme), AuthWindow: uint64(e.AuthWindow),
		Window: uint64(e.Window), Expiry: stamp(e.Expiry), CodeTail: e.CodeTail, SchemeRef: e.SchemeRef, Approval: e.Approval,
		Merchant: e.Merchant, Order: e.Order, Directory: e.Directory, Late: e.Late, KeepCode: e.KeepCode,
		Maker: e.Maker, Checker: e.Checker, Model: e.Model, Method: e.Method.String(), Cutoff: stamp(e.Cutoff), ValueDate: e.ValueDate, Calendar: e.Calendar}
	for _, f := range e.Legs {
		l.Fees = append(l.Fees, Fee{f.Kind.String(), string(f.From), string(f.To), f.Amount.Minor, f.OnRefund.String()})
	}
	if e.Amount.Currency != 0 {
		l.AmountMin, l.Currency = &e.Amount.Minor, e.Amount.Currency.Code()
	}
	l.Dealer, l.Quote, l.Rate = string(e.Dealer), e.Quote, e.Rate
	if e.Target.Currency != 0 {
		l.TargetMin, l.TargetCurrency = &e.Target.Minor, e.Target.Currency.Code()
	}
	e.showShards(&l)
	if e.Stage != dispute.NoStage {
		l.Stage = e.Stage.String()
	}
	if e.Code != (Digest{}) {
		l.CodeDigest = hex.EncodeToString(e.Code[:])
	}
	if e.Content != (Digest{}) {
		l.Content = hex.EncodeToString(e.Content[:])
	}
	if e.Hash != ([32]byte{}) {
		l.Sheet = hex.EncodeToString(e.Hash[:])
	}
	if e.Reason != tongma.NoReason {
		l.Reason, l.ReasonName = e.Reason.Code(), e.Reason.String()
	}
	return l
}

// MarshalJSON shows an entry outside of its batch.
func (e *Entry) MarshalJSON() ([]byte, error) { return json.Marshal(NewLine(e, 0, e.AppendTo(nil))) }

func stamp(millis int64) string {
	if millis == 0 {
		return ""
	}
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
