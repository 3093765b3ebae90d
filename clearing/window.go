package clearing

import (
	"math"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/schemes/calendar"
)

// WindowState is how far a clearing window has come.
type WindowState uint8

const (
	WindowOpen       WindowState = iota // payments are posted into it
	WindowClosed                        // its figures are fixed
	WindowInstructed                    // the agent has been told; debits are collected, then credits paid
	WindowSettled                       // every leg is confirmed
)

// String returns "open", "closed", "instructed" or "settled".
func (s WindowState) String() string {
	return [...]string{"open", "closed", "instructed", "settled"}[s&3]
}

// flowKey is one direction between two participants in one currency.
type flowKey struct {
	debtor, creditor uint16
	currency         tongma.Currency
}

type flow struct {
	gross int64
	count int64
	fees  int64 // of gross
}

// sums are amounts by currency. There are few of them: a list is quicker than a map.
type sums []currencySum

type currencySum struct {
	currency tongma.Currency
	minor    int64
}

// of returns the sum of a currency, to be added to.
func (s *sums) of(c tongma.Currency) *int64 {
	for i := range *s {
		if (*s)[i].currency == c {
			return &(*s)[i].minor
		}
	}
	*s = append(*s, currencySum{currency: c})
	return &(*s)[len(*s)-1].minor
}

func (s sums) get(c tongma.Currency) int64 {
	for i := range s {
		if s[i].currency == c {
			return s[i].minor
		}
	}
	return 0
}

// settlementModel is a way of settling that payments are assigned to: a row of
// windows of its own, of which one is open.
type settlementModel struct {
	name string
	open *window
}

// window is the entries of [opened, closed) of the journal that belong to its
// model. Which payments it holds is a fact of the journal, never a query on time.
type window struct {
	id                 tongma.WindowID
	model              uint16
	method             calendar.Model // zero is multilateral
	state              WindowState
	opened, closed     uint64 // entry numbers
	openedAt, closedAt int64  // Unix milliseconds
	cutoff             int64
	valueDate          uint32
	calendar           string
	flows              map[flowKey]*flow
	gross              sums   // of all flows
	items              []item // postings, in the order of the journal
	debts              []debt
	legs               []leg                     // from instruct on
	told               []told                    // what the agent said of the legs, in the order of the journal
	toldAt             map[toldKey]uint32        // index in told
	waits              int                       // words of people, covers asked for, and debits tried again, that have no end yet
	sheet              [32]byte                  // hash of the sheet in force
	directory          uint64                    // version in force when the agent was told
	memos              map[accountKey]windowMemo // what of the memo accounts goes when it is settled
	recasting          bool                      // payments were deferred, and the sheet not drawn up anew yet

	shards   uint16          // that are gathered into it, with the head; zero for none
	gathered []gathering     // by the others
	linked   tongma.WindowID // of the head, if this is gathered into that
	recastOf tongma.Currency // while it is: for which currency; zero in older journals
	gone     map[uint32]bool // while it is: payments that were deferred
}

func newWindow(id tongma.WindowID, model uint16, method calendar.Model, entry uint64, at int64) *window {
	return &window{id: id, model: model, method: method, opened: entry, openedAt: at, flows: map[flowKey]*flow{}}
}

func (w *window) flow(k flowKey) *flow {
	f := w.flows[k]
	if f == nil {
		f = &flow{}
		w.flows[k] = f
	}
	return f
}

func (w *window) add(k flowKey, amount int64) {
	f := w.flow(k)
	f.gross += amount
	f.count++
	*w.gross.of(k.currency) += amount
}

func (w *window) addFee(k flowKey, amount int64) {
	f := w.flow(k)
	f.gross += amount
	f.fees += amount
	*w.gross.of(k.currency) += amount
}

// addDebt adds what is owed and is no payment, and no fee.
func (w *window) addDebt(k flowKey, amount int64) {
	w.flow(k).gross += amount
	*w.gross.of(k.currency) += amount
}

// take is the undoing of add, or of addFee.
func (w *window) take(k flowKey, amount int64, fee bool) {
	f := w.flow(k)
	f.gross -= amount
	if fee {
		f.fees -= amount
	} else {
		f.count--
	}
	if *f == (flow{}) {
		delete(w.flows, k)
	}
	*w.gross.of(k.currency) -= amount
}

// An item is one posting into a window, or out of it again if a payment was turned
// back there. Its payment tells whether the window still holds it, or it was deferred.
type item struct {
	payment uint32 // with the bits below
	behind  uint32 // entries behind the one that opened the window
}

const (
	itemBack     = 1 << 31 // the posting was turned back
	itemDeferred = 1 << 30 // it came out of an earlier window
	itemPayment  = itemDeferred - 1
)

// maxPayments is how many payments one Book can hold: an item has room for so many.
const maxPayments = itemPayment

func (w *window) put(payment uint32, entry uint64) {
	w.items = append(w.items, item{payment, uint32(entry - w.opened)})
}

// holds tells whether a posting is still this window's.
func (w *window) holds(it item, p *payment) bool {
	if it.payment&itemBack != 0 {
		return p.backWindow == uint32(w.id)
	}
	return p.window == uint32(w.id)
}

func (b *Book) window(id tongma.WindowID) *window {
	if id == 0 || uint64(id) > uint64(len(b.windows)) {
		return nil
	}
	return b.windows[id-1]
}

// model returns the model of that name.
func (b *Book) model(name string) (n uint16, ok bool) {
	if name == "" {
		return 0, len(b.models) > 0
	}
	for i := range b.models {
		if b.models[i].name == name {
			return uint16(i), true
		}
	}
	return 0, false
}

// openOf returns the open window of a model.
func (b *Book) openOf(model uint16) *window { return b.models[model].open }

// maxModels bounds the settlement models of a Book: each payment looks for its own.
const maxModels = 256

// plainMethod is the method as entries carry it: zero for multilateral.
func plainMethod(m calendar.Model) calendar.Model {
	if m == calendar.Multilateral {
		return 0
	}
	return m
}

// proposeWindow decides on windows. The reasons, in their order:
//
//	open:         a repeat: Exists, with ExistsOtherContent if it names another method; StateConflict: the default model
//	              comes first, or there are too many
//	any other:    WindowUnknown; of a close ModelUnknown before it
//	close:        see linkClose; FieldInvalid (the window is of another model, or no date), WindowNotOpen
//	instruct:     WindowNotClosed (in all shards); StateConflict (the head does it); a repeat: Exists; SheetMismatch
//	settled:      a repeat: Exists; StateConflict; of a window that was gathered see proposeFollowed
//	settle, short, cover, cover-asked, cover-refused, retry, word, word-rejected, defer, recast: see proposeSettle, proposeShort,
//	              proposeCover and so on
func (b *Book) proposeWindow(e *Entry) Verdict {
	switch e.Kind {
	case KindOpen:
		return b.proposeOpen(e)
	case KindDefer:
		return b.proposeDefer(e)
	}
	w := b.window(e.Window)
	if w == nil {
		return Verdict{Reason: tongma.WindowUnknown}
	}
	switch e.Kind {
	case KindInstruct:
		return b.proposeInstruct(e, w)
	case KindSettle:
		return b.proposeSettle(e, w)
	case KindShort:
		return b.proposeShort(e, w)
	case KindCover:
		return b.proposeCover(e, w)
	case KindRecast:
		return b.proposeRecast(e, w)
	case KindCoverAsked:
		return b.proposeCoverAsked(e, w)
	case KindCoverRefused:
		return b.proposeCoverRefused(e, w)
	case KindRetry:
		return b.proposeRetry(e, w)
	case KindWord:
		return b.proposeWord(e, w)
	case KindWordRejected:
		return b.proposeWordRejected(e, w)
	}
	if w.linked != 0 {
		return b.proposeFollowed(e, w)
	}
	switch {
	case w.state == WindowSettled:
		return Verdict{Exists: true}
	case w.state != WindowInstructed || !w.allDone() || w.recasting:
		return Verdict{Reason: tongma.StateConflict}
	}
	e.Hash = w.sheet
	return Verdict{Write: true}
}

func (b *Book) proposeOpen(e *Entry) Verdict {
	n, known := b.model(e.Model)
	switch {
	case known && b.openOf(n).method != e.Method:
		return Verdict{Exists: true, Reason: tongma.ExistsOtherContent}
	case known:
		return Verdict{Exists: true}
	case len(b.models) == 0 && e.Model != "", len(b.models) >= maxModels:
		return Verdict{Reason: tongma.StateConflict}
	}
	e.Window = tongma.WindowID(len(b.windows) + 1)
	return Verdict{Write: true}
}

// proposeClose decides on a close that asks for the given method of the window that
// it opens; if it asks for none, that stays.
func (b *Book) proposeClose(e *Entry, method calendar.Model) Verdict {
	n, known := b.model(e.Model)
	if !known && e.Model != "" {
		return Verdict{Reason: tongma.ModelUnknown}
	}
	if e.Window == 0 && known {
		e.Window = b.openOf(n).id
	}
	if v, stop := b.linkClose(e, n); stop {
		return v
	}
	w := b.window(e.Window)
	switch {
	case w == nil:
		return Verdict{Reason: tongma.WindowUnknown}
	case (e.Model != "" && n != w.model) || !dateFits(e.ValueDate):
		return Verdict{Reason: tongma.FieldInvalid}
	case w.state != WindowOpen:
		return Verdict{Reason: tongma.WindowNotOpen}
	}
	if e.Model = b.models[w.model].name; method == calendar.NoModel {
		e.Method = w.method
	}
	return Verdict{Write: true}
}

// dateFits tells whether yyyymmdd is a date; zero is none.
func dateFits(d uint32) bool {
	at := time.Date(int(d/10000), time.Month(d/100%100), int(d%100), 0, 0, 0, 0, time.UTC)
	return d == 0 || (d >= 19000101 && uint32(at.Year()*10000+int(at.Month())*100+at.Day()) == d)
}

func (b *Book) proposeInstruct(e *Entry, w *window) Verdict {
	switch {
	case w.state == WindowOpen, len(w.awaited()) > 0:
		return Verdict{Reason: tongma.WindowNotClosed}
	case w.linked != 0:
		return Verdict{Reason: tongma.StateConflict}
	case w.state != WindowClosed:
		return Verdict{Exists: true}
	}
	sheet := b.sheet(w)
	if e.Hash != ([32]byte{}) && e.Hash != sheet.Hash {
		return Verdict{Reason: tongma.SheetMismatch}
	}
	e.Hash = sheet.Hash
	return Verdict{Write: true}
}

func (b *Book) applyWindow(e *Entry) error {
	if e.Kind == KindOpen {
		return b.applyOpen(e)
	}
	w := b.window(e.Window)
	if w == nil {
		return b.broken(e, "no such window")
	}
	if w.linked != 0 && e.Kind == KindSettled {
		return b.applyFollowed(e, w)
	}
	due := WindowInstructed
	switch e.Kind {
	case KindClose:
		due = WindowOpen
	case KindInstruct:
		due = WindowClosed
	}
	if w.state != due {
		return b.broken(e, "window is "+w.state.String())
	}
	switch e.Kind {
	case KindClose:
		return b.applyClose(e, w)
	case KindInstruct:
		if len(w.awaited()) > 0 || w.linked != 0 {
			return b.broken(e, "its sheet is not whole, or the head's to settle")
		}
		w.state, w.sheet, w.legs, w.directory = WindowInstructed, e.Hash, b.legsOf(w), b.directory
	case KindSettled:
		if !w.allDone() || w.recasting {
			return b.broken(e, "legs are open")
		}
		w.state = WindowSettled
		b.settleMemos(w)
	default:
		return b.applySettling(e, w)
	}
	return nil
}

func (b *Book) applyOpen(e *Entry) error {
	if _, known := b.model(e.Model); known || (len(b.models) == 0) != (e.Model == "") || len(b.models) >= maxModels {
		return b.broken(e, "a window of this model is open, or may not be")
	}
	if int(e.Window) != len(b.windows)+1 {
		return b.broken(e, "window out of its order")
	}
	w := newWindow(e.Window, uint16(len(b.models)), e.Method, e.Number, e.Time)
	b.models = append(b.models, settlementModel{e.Model, w})
	b.windows = append(b.windows, w)
	return nil
}

func (b *Book) applyClose(e *Entry, w *window) error {
	if b.models[w.model].name != e.Model {
		return b.broken(e, "names another model")
	}
	if again := (Entry{Kind: KindClose, Linked: e.Linked}); b.stopsAt(&again, w) || again.Shards != e.Shards {
		return b.broken(e, "is not the head's, or does not follow it")
	}
	w.linked, w.shards = e.Linked, e.Shards
	w.state, w.closed, w.closedAt = WindowClosed, e.Number, e.Time
	w.cutoff, w.valueDate, w.calendar = e.Cutoff, e.ValueDate, e.Calendar
	next := newWindow(tongma.WindowID(len(b.windows)+1), w.model, e.Method, e.Number, e.Time)
	b.windows = append(b.windows, next)
	b.models[w.model].open = next
	return nil
}

// What a window and the open holds may add up to in one currency, so that no figure
// of a sheet leaves 64 bits: holds are refused long before a posting has to be.
const (
	mostHeld   = math.MaxInt64 / 2
	mostPosted = math.MaxInt64 / 4 * 3
)

// tooMuch tells whether a window that gets another minor units would pass most. Open
// holds count: they may be posted at any time, and must not be refused then.
func (b *Book) tooMuch(w *window, c tongma.Currency, minor, most int64) bool {
	sum, ok := addChecked(w.gross.get(c), b.held.get(c))
	if ok {
		sum, ok = addChecked(sum, minor)
	}
	return !ok || sum > most
}

// Model is a settlement model of a Book, and its open window.
type Model struct {
	Name   string // "" is the one that every book has
	Method calendar.Model
	Open   tongma.WindowID
}

// Models returns the settlement models in the order in which they were opened.
func (b *Book) Models() []Model {
	out := make([]Model, 0, len(b.models))
	for _, m := range b.models {
		out = append(out, Model{m.name, shownMethod(m.open.method), m.open.id})
	}
	return out
}

func shownMethod(m calendar.Model) calendar.Model {
	if m == calendar.NoModel {
		return calendar.Multilateral
	}
	return m
}
