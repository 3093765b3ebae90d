package settle

import (
	"context"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// Confirm writes down by hand that an instruction of a window was carried out, where no
// agent is connected: all of it, or a part in minor units. The same again changes
// nothing. When every leg is confirmed the window is settled. The error PaymentUnknown
// means that no such instruction is due: it was confirmed before, or the sheet has
// changed since it was given.
func (s *Settler) Confirm(ctx context.Context, id tongma.WindowID, instruction string, part int64) (clearing.Sheet, error) {
	return s.byHand(ctx, id, instruction, func(in clearing.Instruction) clearing.Entry {
		e := in.Confirm()
		if part != 0 {
			e.Amount.Minor = part
		}
		return e
	})
}

// Refuse writes down by hand that a debtor has not got what an instruction asks for. It
// is suspended, and the rules say who is asked next (Plan).
func (s *Settler) Refuse(ctx context.Context, id tongma.WindowID, instruction string) (clearing.Sheet, error) {
	return s.byHand(ctx, id, instruction, func(in clearing.Instruction) clearing.Entry { return in.Refuse(tongma.AgentRejected) })
}

func (s *Settler) byHand(ctx context.Context, id tongma.WindowID, instruction string, entry func(clearing.Instruction) clearing.Entry) (clearing.Sheet, error) {
	if !s.begin(id) {
		return clearing.Sheet{}, &tongma.Error{Op: "settle", Reason: tongma.StateConflict, Field: id.String(), Detail: "it is being settled already"}
	}
	defer s.end(id)
	r := &run{Settler: s, ctx: ctx, id: id}
	if err := r.look(); err != nil {
		return r.sheet, err
	}
	if r.sheet.State == clearing.WindowClosed {
		if err := r.book(clearing.Entry{Kind: clearing.KindInstruct, Window: id, Hash: r.sheet.Hash}); err != nil {
			return r.sheet, err
		}
	}
	for _, in := range clearing.Instruct(r.sheet) {
		if in.ID != instruction {
			continue
		}
		err := r.book(entry(in))
		if err == nil && r.allDone() {
			err = r.book(clearing.Entry{Kind: clearing.KindSettled, Window: id})
		}
		return r.sheet, err
	}
	return r.sheet, &tongma.Error{Op: "settle.by-hand", Reason: tongma.PaymentUnknown, Field: id.String(), Detail: "no such instruction is due"}
}
