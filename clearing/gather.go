package clearing

import (
	"slices"

	"github.com/tongma/tongma"
)

// A window of the head is settled for all shards. When it closes, each of them closes
// the window of that model that it has open, and hands over what it comes to: its
// bilateral matrix, in pages. When all pages of all shards are in, the sheet of the
// head is the sum, and it is settled as any other. When it is settled, so are those
// that were gathered into it.
//
// Nobody's position changes when a window is gathered: what is owed by it stays where
// the cap is that it counts against, until the agent has moved it.

// gathering is what one shard has handed over for a window of the head.
type gathering struct {
	shard  uint16
	window tongma.WindowID // its own
	hash   [32]byte        // of its sheet
	have   uint64          // pages
	pages  uint64
}

func (w *window) gathering(shard uint16) *gathering {
	for i := range w.gathered {
		if w.gathered[i].shard == shard {
			return &w.gathered[i]
		}
	}
	return nil
}

// awaited returns the shards whose windows are not gathered yet.
func (w *window) awaited() (out []uint16) {
	for s := Head + 1; s <= w.shards; s++ {
		if g := w.gathering(s); g == nil || g.have < g.pages {
			out = append(out, s)
		}
	}
	return out
}

// linkClose completes the close of a switch that is a shard. Windows are closed by the
// head; the others follow, each window once. The reasons, in their order:
//
//	FieldInvalid (a window is named that there is not), StateConflict (only the head closes by itself, or an earlier one is to
//	be followed first); followed already: Exists
func (b *Book) linkClose(e *Entry, model uint16) (v Verdict, stop bool) {
	head := b.shards.self == Head
	switch {
	case !b.sharded():
		return Verdict{Reason: tongma.FieldInvalid}, e.Linked != 0 || e.Shards != 0
	case head && e.Linked != 0:
		return Verdict{Reason: tongma.FieldInvalid}, true
	case head:
		e.Shards = b.shards.count
		return Verdict{}, false
	case e.Linked == 0 || e.Shards != 0:
		return Verdict{Reason: tongma.StateConflict}, true
	}
	late := false
	for i := len(b.windows) - 1; i >= 0; i-- {
		w := b.windows[i]
		if w.model != model || w.linked == 0 {
			continue
		}
		if w.linked == e.Linked {
			e.Window = w.id
			return Verdict{Exists: true}, true
		}
		if w.linked < e.Linked {
			break
		}
		late = true
	}
	return Verdict{Reason: tongma.StateConflict}, late
}

// stopsAt tells whether a close would not have been proposed, of a switch that is a
// shard.
func (b *Book) stopsAt(e *Entry, w *window) bool {
	_, stop := b.linkClose(e, w.model)
	return stop
}

// proposeGather decides on a page of what a window of another shard comes to. The
// reasons, in their order:
//
//	StateConflict (not the head), FieldInvalid (no other shard, no page), WindowUnknown, WindowNotClosed; a page that is in:
//	Exists, with SheetMismatch if it is of another sheet; StateConflict (one before it is missing, or none is awaited),
//	SheetMismatch (another sheet than the page before), NamesExhausted, PositionOverflow
func (b *Book) proposeGather(e *Entry) Verdict {
	w := b.window(e.Window)
	switch {
	case b.shards.self != Head:
		return Verdict{Reason: tongma.StateConflict}
	case !b.otherShard(e.Shard) || e.Sequence == 0 || e.Sequence > e.Upto || e.Linked == 0 || e.Hash == [32]byte{}:
		return Verdict{Reason: tongma.FieldInvalid}
	case w == nil:
		return Verdict{Reason: tongma.WindowUnknown}
	case w.state == WindowOpen:
		return Verdict{Reason: tongma.WindowNotClosed}
	}
	e.Model = b.models[w.model].name
	g := w.gathering(e.Shard)
	if g != nil && e.Sequence <= g.have {
		v := Verdict{Exists: true}
		if g.hash != e.Hash || g.pages != e.Upto || g.window != e.Linked {
			v.Reason = tongma.SheetMismatch
		}
		return v
	}
	have := uint64(0)
	if g != nil {
		have = g.have
	}
	switch {
	case w.state != WindowClosed || e.Shard > w.shards || e.Sequence != have+1:
		return Verdict{Reason: tongma.StateConflict}
	case g != nil && (g.hash != e.Hash || g.pages != e.Upto || g.window != e.Linked):
		return Verdict{Reason: tongma.SheetMismatch}
	case !b.namesFit(2 * len(e.Cells)):
		return Verdict{Reason: tongma.NamesExhausted}
	}
	return b.cellsFitIn(w, e.Cells)
}

// cellsFitIn tells whether a window can take in more without leaving 64 bits.
func (b *Book) cellsFitIn(w *window, cells []Obligation) Verdict {
	for i := range cells {
		sum, ok := w.gross.get(cells[i].Currency), true
		for j := range cells[:i+1] {
			if cells[j].Currency == cells[i].Currency && ok {
				sum, ok = addChecked(sum, cells[j].Gross)
			}
		}
		if !ok || sum > mostPosted || !cells[i].Currency.Valid() {
			return Verdict{Reason: tongma.PositionOverflow}
		}
	}
	return Verdict{Write: true}
}

func (b *Book) applyGather(e *Entry) {
	w := b.window(e.Window)
	g := w.gathering(e.Shard)
	if g == nil {
		w.gathered = append(w.gathered, gathering{shard: e.Shard, window: e.Linked, hash: e.Hash, pages: e.Upto})
		g = &w.gathered[len(w.gathered)-1]
	}
	g.have = e.Sequence
	for i := range e.Cells {
		c := &e.Cells[i]
		k := flowKey{b.number(string(c.Debtor)), b.number(string(c.Creditor)), c.Currency}
		f := w.flow(k)
		f.gross, f.count, f.fees = f.gross+c.Gross, f.count+c.Count, f.fees+c.Fees
		*w.gross.of(c.Currency) += c.Gross
		w.debts = append(w.debts, debt{entry: e.Number, from: k.debtor, to: k.creditor, currency: c.Currency, minor: c.Gross, shard: e.Shard})
		b.carry(k.debtor, c.Currency, -c.Gross, e.Number)
		b.carry(k.creditor, c.Currency, c.Gross, e.Number)
	}
}

// proposeFollowed decides on the end of a window that was gathered: the head says that
// it is settled.
func (b *Book) proposeFollowed(e *Entry, w *window) Verdict {
	switch {
	case e.Linked != w.linked:
		return Verdict{Reason: tongma.FieldInvalid}
	case w.state == WindowSettled:
		return Verdict{Exists: true}
	case w.state != WindowClosed:
		return Verdict{Reason: tongma.WindowNotClosed}
	}
	return Verdict{Write: true}
}

// applyFollowed settles a window that was gathered. What was owed by it has been moved
// by the head, which has the room for it now, until that is carried home.
func (b *Book) applyFollowed(e *Entry, w *window) error {
	if again := *e; !b.proposeFollowed(&again, w).Write {
		return b.broken(e, "window is "+w.state.String())
	}
	for k, f := range w.flows {
		b.carry(k.debtor, k.currency, f.gross, e.Number)
		b.carry(k.creditor, k.currency, -f.gross, e.Number)
	}
	w.state, w.sheet = WindowSettled, e.Hash
	b.settleMemos(w)
	return nil
}

// Pages returns the entries by which the sheet of a window that was closed for the
// head is handed over to it.
func Pages(s Sheet, shard uint16) []Entry {
	pages := max(1, (len(s.Matrix)+maxCells-1)/maxCells)
	out := make([]Entry, pages)
	for i := range out {
		cells := s.Matrix[min(i*maxCells, len(s.Matrix)):min((i+1)*maxCells, len(s.Matrix))]
		out[i] = Entry{Kind: KindGather, Shard: shard, Window: s.Linked, Linked: s.Window, Hash: s.Hash, Sequence: uint64(i) + 1, Upto: uint64(pages), Cells: slices.Clone(cells)}
	}
	return out
}

// Gathered is what one shard has handed over for a window of the head.
type Gathered struct {
	Shard  uint16
	Window tongma.WindowID // of that shard
	Hash   [32]byte        // of its sheet
	Whole  bool            // all of it is in
}

// showGathering adds to a sheet what it is gathered of, or into.
func (w *window) showGathering(s *Sheet) {
	s.Linked, s.Shards, s.Awaited = w.linked, w.shards, w.awaited()
	for _, g := range w.gathered {
		s.Gathered = append(s.Gathered, Gathered{g.shard, g.window, g.hash, g.have == g.pages})
	}
}

// Followed is a window of the head that other shards follow.
type Followed struct {
	Window  tongma.WindowID
	Model   string
	Settled bool
	Sheet   [32]byte // of a settled one
	Close   Entry    // what the close of the others is made of
}

// Followed returns the windows of the head that a shard has not handed over yet, and
// those of the given ones that are settled, oldest first.
func (b *Book) Followed(shard uint16, given []tongma.WindowID) []Followed {
	var out []Followed
	for _, w := range b.windows {
		if w.shards < shard || w.state == WindowOpen {
			continue
		}
		g := w.gathering(shard)
		f := Followed{Window: w.id, Model: b.models[w.model].name, Settled: w.state == WindowSettled, Sheet: w.sheet}
		if (g == nil || g.have < g.pages) || (f.Settled && slices.Contains(given, w.id)) {
			f.Close = Entry{Kind: KindClose, Model: f.Model, Linked: w.id, Cutoff: w.cutoff, ValueDate: w.valueDate, Calendar: w.calendar}
			out = append(out, f)
		}
	}
	return out
}

// Following returns the windows of this shard that were closed for one of the head's
// and are not settled, by the head's window.
func (b *Book) Following() map[tongma.WindowID]tongma.WindowID {
	out := map[tongma.WindowID]tongma.WindowID{}
	for _, w := range b.windows {
		if w.linked != 0 && w.state == WindowClosed {
			out[w.linked] = w.id
		}
	}
	return out
}
