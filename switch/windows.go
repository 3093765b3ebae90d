package switching

import (
	"context"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// SettlementAgent holds the participants' settlement accounts. Move carries out
// one instruction; the same ID again is the same movement, carried out once.
type SettlementAgent interface {
	Move(ctx context.Context, in clearing.Instruction) error
}

// CloseWindow closes the open window, or the given one if it is the open one, and
// opens the next in the same entry. It returns the closed window's sheet.
func (e *Engine) CloseWindow(ctx context.Context, id tongma.WindowID) (clearing.Sheet, error) {
	res, err := e.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindClose, Window: id})
	if err != nil {
		return clearing.Sheet{}, err
	}
	if res.Reason != tongma.NoReason {
		return clearing.Sheet{}, &tongma.Error{Op: "window.close", Reason: res.Reason, Field: id.String()}
	}
	return e.Sheet(ctx, res.Entry.Window)
}

// Sheet returns a window's net sheet.
func (e *Engine) Sheet(ctx context.Context, id tongma.WindowID) (clearing.Sheet, error) {
	var s clearing.Sheet
	var ok bool
	if err := e.ledger.Read(ctx, func(b *clearing.Book) { s, ok = b.Sheet(id) }); err != nil {
		return clearing.Sheet{}, err
	}
	if !ok {
		return s, &tongma.Error{Op: "window", Reason: tongma.WindowUnknown, Field: id.String()}
	}
	return s, nil
}

// SettleWindow instructs the agent for a closed window and books each
// confirmation: all debits first, then the credits. What was confirmed before is
// passed over, so that it may be called again after a fault. A window whose
// figures are all zero is settled at once.
func (e *Engine) SettleWindow(ctx context.Context, id tongma.WindowID, agent SettlementAgent) (clearing.Sheet, error) {
	s, err := e.Sheet(ctx, id)
	if err != nil {
		return s, err
	}
	if err := e.book(ctx, clearing.Entry{Kind: clearing.KindInstruct, Window: id, Hash: s.Hash}); err != nil {
		return s, err
	}
	instructions := clearing.Instruct(s)
	confirmed := make([]bool, len(instructions))
	see := func(b *clearing.Book) {
		for i := range instructions {
			confirmed[i] = b.Confirmed(&instructions[i])
		}
	}
	if err := e.ledger.Read(ctx, see); err != nil {
		return s, err
	}
	for i, in := range instructions {
		if confirmed[i] {
			continue
		}
		if err := agent.Move(ctx, in); err != nil {
			return s, err
		}
		if err := e.book(ctx, in.Confirm()); err != nil {
			return s, err
		}
	}
	if err := e.book(ctx, clearing.Entry{Kind: clearing.KindSettled, Window: id}); err != nil {
		return s, err
	}
	return e.Sheet(ctx, id)
}

func (e *Engine) book(ctx context.Context, entry clearing.Entry) error {
	res, err := e.ledger.Submit(ctx, entry)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "window." + entry.Kind.String(), Reason: res.Reason, Field: entry.Window.String()}
	}
	return err
}
