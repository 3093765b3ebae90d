package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/tongma/tongma"
)

// Account is one participant's account in one currency.
type Account struct {
	Participant tongma.ParticipantID
	Currency    tongma.Currency
}

// Standing is how an account stands, in minor units.
type Standing struct {
	Position   int64 // posted debits less posted credits, not yet settled: more than zero owes
	Reserved   int64 // open holds
	Cap        int64
	Capped     bool
	Prefunding int64 // deposited and not withdrawn: the limit is Cap and this

	// Of one that settles through a sponsor: Position and Reserved are the sponsor's, and
	// these are its part of them.
	Sponsor                    tongma.ParticipantID
	MemoPosition, MemoReserved int64
}

// Positions are the accounts that have a cap, a hold or a posting.
type Positions map[Account]Standing

// Pair is one cell of a bilateral matrix.
type Pair struct {
	Debtor, Creditor tongma.ParticipantID
	Currency         tongma.Currency
}

// Cell is what was posted from a debtor to a creditor in one window.
type Cell struct {
	Gross int64 // payments and fees
	Count int64 // payments
}

// Figure is one participant's figure in one window and currency, in minor units.
type Figure struct{ Debits, Credits, Net int64 }

// Sheet is the net sheet of one window.
type Sheet struct {
	Window     tongma.WindowID
	Model      string // settlement model; "" is the one that every book has
	Method     string // how it settles: "multilateral", "bilateral" or "gross"
	State      string // "open", "closed", "collecting", "paying", "short" or "settled"
	ValueDate  uint32 // yyyymmdd on which it settles; zero if nobody said
	FirstEntry uint64 // that opened it
	EndEntry   uint64 // that closed it; zero while it is open
	Payments   int64  // postings, reversals of postings included; those in two currencies count in each
	Matrix     map[Pair]Cell
	Figures    map[Account]Figure
	Hash       string         // SHA-256 of the sheet's text, hex
	Due        map[Pair]int64 // once instructed: what is not paid yet; a side without a name is the settlement account

	memos map[Account]memo // what sub-participants have in it
}

// Sheets are the windows, the first one first. The last one of each model is open.
type Sheets []*Sheet

// line is what Recompute reads of a line of the journal (docs/journal.md). What
// is not in it is passed over.
type line struct {
	Entry    uint64               `json:"entry"`
	Kind     string               `json:"kind"`
	Time     string               `json:"time"`
	Payment  string               `json:"payment"`
	Original string               `json:"original"`
	Op       string               `json:"operation"`
	Asker    string               `json:"asker"`
	Key      string               `json:"key"`
	Debtor   tongma.ParticipantID `json:"debtor"`
	Creditor tongma.ParticipantID `json:"creditor"`
	Minor    int64                `json:"amount_minor"`
	Currency string               `json:"currency"`
	Window   uint64               `json:"window"`
	Auth     uint64               `json:"auth_window"`
	Model    string               `json:"model"`
	Method   string               `json:"method"`
	Value    uint32               `json:"value_date"`
	Ref      string               `json:"scheme_ref"`
	Expiry   string               `json:"expiry"`
	Sheet    string               `json:"sheet_hash"`
	Fees     []fee                `json:"fees"`
	Maker    string               `json:"maker"`
	Checker  string               `json:"checker"`
	Stage    string               `json:"stage"`
	Reason   string               `json:"reason"`

	Dealer         tongma.ParticipantID `json:"dealer"`
	Target         int64                `json:"target_minor"`
	TargetCurrency string               `json:"target_currency"`
	Quote          string               `json:"quote"`
	Rate           string               `json:"rate"`

	Shard    uint64 `json:"shard"`
	Shards   uint64 `json:"shards"`
	Sequence uint64 `json:"sequence"`
	Upto     uint64 `json:"upto"`
	Linked   uint64 `json:"linked_window"`
	Cells    []cell `json:"cells"`
	Terms    []term `json:"terms"`
}

// fee is one fee of a line, in the line's currency; of a refund in two currencies, in
// that of what goes back.
type fee struct {
	Kind     string               `json:"fee"`
	From     tongma.ParticipantID `json:"from"`
	To       tongma.ParticipantID `json:"to"`
	Minor    int64                `json:"fee_minor"`
	OnRefund string               `json:"on_refund"`
}

// kinds are all kinds of entries there are, and what each of them does. A kind
// that is not among them is refused: its money would be missing.
var kinds = map[string]func(*recomputing, *line) error{
	"directory":     nothing,
	"cap":           (*recomputing).setCap,
	"cap-proposed":  (*recomputing).proposeCap,
	"cap-approved":  (*recomputing).checkCap,
	"cap-rejected":  (*recomputing).checkCap,
	"deposit":       (*recomputing).prefund,
	"withdraw":      (*recomputing).prefund,
	"suspend":       (*recomputing).suspend,
	"resume":        (*recomputing).suspend,
	"sponsor":       (*recomputing).sponsor,
	"refuse":        (*recomputing).ask,
	"tombstone":     (*recomputing).ask,
	"hold":          (*recomputing).hold,
	"pend":          (*recomputing).change,
	"post":          (*recomputing).change,
	"void":          (*recomputing).change,
	"expire":        (*recomputing).change,
	"reversing":     (*recomputing).change,
	"reversed":      (*recomputing).change,
	"dispute":       (*recomputing).raise,
	"dispute-step":  (*recomputing).disputeStep,
	"open":          (*recomputing).openModel,
	"close":         (*recomputing).close,
	"instruct":      (*recomputing).instruct,
	"settle":        (*recomputing).settle,
	"settled":       (*recomputing).settled,
	"short":         (*recomputing).short,
	"cover":         (*recomputing).cover,
	"cover-asked":   (*recomputing).coverAsked,
	"cover-refused": (*recomputing).coverRefused,
	"retry":         (*recomputing).retry,
	"word":          (*recomputing).word,
	"word-rejected": (*recomputing).wordRejected,
	"defer":         (*recomputing).deferred,
	"recast":        (*recomputing).recast,
	"carry-out":     (*recomputing).carry,
	"carry-in":      (*recomputing).carry,
	"gather":        (*recomputing).gather,
	"claim":         (*recomputing).claim,
	"home":          (*recomputing).home,
}

func nothing(*recomputing, *line) error { return nil }

const maxLine = 1 << 20

// Recompute reads the lines of `tongma journal dump --json` and computes
// positions, windows and net sheets from them alone, by the rules of
// docs/journal.md and with arithmetic of its own.
//
// It refuses a journal that does not add up, and names the entry: a gap in the
// numbers, a time that goes back, a key that is used twice, a payment that ends
// twice or was never held, a line that does not repeat what its payment is, a
// posting in a window that is not the open one, a hold over its cap, more posted
// than was held, a refund of more than was paid, fees that do not go back in
// proportion, a cap that one person set alone, prefunding that is not there,
// figures that do not sum to zero, a sheet hash other than its own, a
// settlement of more than is due, or of a creditor before the last debtor, a cover
// or a postponement where nobody was short, and anything for a leg whose debit was tried
// again and has no answer.
func Recompute(lines io.Reader) (Sheets, Positions, error) {
	r := newRecomputing()
	scan := bufio.NewScanner(lines)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	for scan.Scan() {
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			return nil, nil, fmt.Errorf("conformance: the line behind entry %d is not JSON: %w", r.entry, err)
		}
		if err := r.take(&l); err != nil {
			return nil, nil, fmt.Errorf("conformance: entry %d (%s): %w", l.Entry, l.Kind, err)
		}
		r.entry, r.time = l.Entry, l.Time
	}
	if err := scan.Err(); err != nil {
		return nil, nil, fmt.Errorf("conformance: behind entry %d: %w", r.entry, err)
	}
	if err := r.finish(); err != nil {
		return nil, nil, err
	}
	positions := Positions{}
	for account, s := range r.positions {
		s.Sponsor = r.sponsors[account.Participant]
		positions[account] = *s
	}
	return r.sheets, positions, nil
}

// recomputing is the state between two lines.
type recomputing struct {
	entry     uint64 // of the last line
	time      string
	sheets    Sheets
	open      map[string]*Sheet // by model
	positions map[Account]*Standing
	suspended map[tongma.ParticipantID]bool
	sponsors  map[tongma.ParticipantID]tongma.ParticipantID // of sub-participants
	payments  map[string]*tracked
	disputes  map[string]*disputed
	owed      map[owedFor][]owes
	quotes    map[string]time.Time // when a dealer's quote was used last
	keys      map[string]bool      // of payments, with their askers
	orders    map[string]*order    // by key
	capAt     map[Account]uint64
	settling  map[tongma.WindowID]*settling // of instructed windows
	shards    sharding
}

func newRecomputing() *recomputing {
	return &recomputing{positions: map[Account]*Standing{}, suspended: map[tongma.ParticipantID]bool{}, sponsors: map[tongma.ParticipantID]tongma.ParticipantID{},
		payments: map[string]*tracked{}, disputes: map[string]*disputed{}, owed: map[owedFor][]owes{}, quotes: map[string]time.Time{}, keys: map[string]bool{},
		orders: map[string]*order{}, capAt: map[Account]uint64{}, settling: map[tongma.WindowID]*settling{}, open: map[string]*Sheet{}, shards: newSharding()}
}

func (r *recomputing) take(l *line) error {
	switch {
	case l.Entry != r.entry+1:
		return fmt.Errorf("it stands behind entry %d", r.entry)
	case l.Time < r.time:
		return fmt.Errorf("its time goes back")
	}
	does := kinds[l.Kind]
	if does == nil {
		return fmt.Errorf("no such kind is known")
	}
	return does(r, l)
}

// account is the one that a line's debtor has in the line's currency.
func (r *recomputing) account(l *line) (Account, *Standing, error) {
	currency, ok := tongma.CurrencyByCode(l.Currency)
	if !ok || !l.Debtor.Valid() {
		return Account{}, nil, fmt.Errorf("it names no account")
	}
	a := Account{l.Debtor, currency}
	return a, r.standing(a), nil
}

func (r *recomputing) standing(a Account) *Standing {
	s := r.positions[a]
	if s == nil {
		s = &Standing{}
		r.positions[a] = s
	}
	return s
}

// add adds checked: a sum that does not fit is no sum.
func add(to *int64, minor int64) error {
	sum := *to + minor
	if (sum > *to) != (minor > 0) {
		return fmt.Errorf("%d and %d are more than a number can hold", *to, minor)
	}
	*to = sum
	return nil
}
