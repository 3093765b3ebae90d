package office

import (
	"bufio"
	"bytes"
	"io"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/clearing/recon"
)

// ReconFile is one file to be reconciled: CSV as package recon describes it, or a
// camt.053. One without a sender is the settlement agent's: a camt.053 or camt.054.
type ReconFile struct {
	Name   string                 // as people call it; for reports only
	Sender tongma.ParticipantID   // empty: the settlement agent
	Covers []tongma.ParticipantID // for whom the sender speaks; none: for itself
	Body   io.Reader
	Size   int64 // in bytes, for the progress; zero: not known
}

// Progress tells how far a reconciliation has come.
type Progress struct {
	Step  string `json:"step"`            // reading, journal, comparing, saving
	Input string `json:"input,omitempty"` // which file, or window
	Done  int64  `json:"done"`            // bytes, entries or comparisons
	Total int64  `json:"total,omitempty"` // zero: not known
}

// counted reports bytes as they are read, once a megabyte.
type counted struct {
	r    io.Reader
	p    Progress
	told int64
	see  func(Progress)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.p.Done += int64(n)
	if c.p.Done-c.told >= 1<<20 || err == io.EOF && c.told != c.p.Done {
		c.told = c.p.Done
		c.see(c.p)
	}
	return n, err
}

// isXML looks at the first byte that is neither white space nor a byte order mark.
func isXML(in *bufio.Reader) bool {
	head, _ := in.Peek(512)
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(head) > 0 && head[0] == '<'
}

// readMessage reads a whole message, bounded.
func readMessage(in io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(in, iso20022.MaxBytes+1))
	if err == nil && len(data) > iso20022.MaxBytes {
		return nil, &tongma.Error{Op: "office.reconcile", Reason: tongma.MessageTooLong, Detail: "a message of more than 8 MiB"}
	}
	return data, err
}

// readParticipant reads a participant's file, in either form.
func readParticipant(in *bufio.Reader, f *ReconFile) (recon.File, error) {
	var out recon.File
	var err error
	if isXML(in) {
		out, err = readAccount(in, f.Sender)
	} else {
		out, err = recon.ReadCSV(in, f.Sender)
	}
	out.Covers = slices.Clone(f.Covers)
	return out, err
}

// readAccount reads a participant's camt.053 of the account that its payments go
// over: each transaction of a booked entry is a row. Its EndToEndId or TxId is the
// switch's payment id, its AcctSvcrRef, or else the EndToEndId, the scheme's
// reference, its day that of booking. A statement does not say what kind of
// payment a row is: assign finds that out.
func readAccount(in io.Reader, sender tongma.ParticipantID) (recon.File, error) {
	data, err := readMessage(in)
	if err != nil {
		return recon.File{}, err
	}
	m, err := iso20022.Read(data)
	if err != nil {
		return recon.File{}, err
	}
	if len(m.Statements) == 0 {
		return recon.File{}, &tongma.Error{Op: "office.reconcile", Reason: tongma.MessageMalformed, Detail: "a participant's message is a statement: camt.053"}
	}
	out := recon.File{Sender: sender, Hash: hashOf(data)}
	for i := range m.Statements {
		for k := range m.Statements[i].Entries {
			if e := &m.Statements[i].Entries[k]; e.Booked {
				out.Rows = append(out.Rows, accountRows(e, sender, int32(len(out.Rows)+1))...)
			}
		}
	}
	return out, nil
}

// accountRows are the rows of an entry; line counts them as lines from 1.
func accountRows(e *iso20022.Entry, sender tongma.ParticipantID, line int32) []recon.Row {
	details := e.Details
	if len(details) == 0 {
		details = []iso20022.Detail{{AgentRef: e.AgentRef, EndToEnd: e.Reference, Amount: e.Amount, Credit: e.Credit}}
	}
	var rows []recon.Row
	for _, d := range details {
		row := recon.Row{Line: line + int32(len(rows)), Kind: recon.RowPay, Status: tongma.Paid, Participant: sender, Amount: d.Amount, SchemeRef: d.AgentRef}
		if e.Reversal {
			row.Kind = recon.RowReversal
		}
		for _, id := range []string{d.EndToEnd, d.Transaction} {
			if p, err := tongma.ParsePaymentID(id); err == nil && row.Payment.IsZero() {
				row.Payment = p
			} else if row.SchemeRef == "" {
				row.SchemeRef = id
			}
		}
		if date, ok := recon.ParseDate(e.BookingDate.String()); ok {
			row.Date = date
		}
		if row.Payment.IsZero() && row.SchemeRef == "" {
			row.SchemeRef = "NOTPROVIDED"
		}
		rows = append(rows, row)
	}
	return rows
}

// ledgerIndex finds the journal's payments by what a row may carry.
type ledgerIndex struct {
	items []recon.Item
	byID  map[tongma.PaymentID]int32
	byRef map[string]int32 // -1: more than one
}

func indexOf(items []recon.Item) *ledgerIndex {
	x := &ledgerIndex{items, make(map[tongma.PaymentID]int32, len(items)), make(map[string]int32, len(items))}
	for i := range items {
		x.byID[items[i].Payment] = int32(i)
		if ref := items[i].SchemeRef; ref != "" {
			if at, known := x.byRef[ref]; known && (at < 0 || items[at].Payment != items[i].Payment) { // the two parts of one have one
				x.byRef[ref] = -1
			} else {
				x.byRef[ref] = int32(i)
			}
		}
	}
	return x
}

func (x *ledgerIndex) find(row *recon.Row) *recon.Item {
	at, ok := x.byID[row.Payment]
	if row.Payment.IsZero() {
		at, ok = x.byRef[row.SchemeRef]
	}
	if !ok || at < 0 {
		return nil
	}
	return &x.items[at]
}

// assign completes rows that say less than a row of the CSV: the kind of a
// statement's rows, and the window of rows that give only a day. A row of a known
// payment goes where the journal has it, if that window is one of those that are
// reconciled and its day is not another; other rows go to the window of their
// day, or else to the last.
func assign(f *recon.File, x *ledgerIndex, windows []tongma.WindowID, dates map[tongma.WindowID]recon.Date, kinds bool) {
	for i := range f.Rows {
		row := &f.Rows[i]
		it := x.find(row)
		if kinds && it != nil && row.Kind != recon.RowReversal {
			row.Kind = map[tongma.Operation]recon.RowKind{tongma.OpPay: recon.RowPay, tongma.OpTransfer: recon.RowTransfer, tongma.OpRefund: recon.RowRefund}[it.Op]
		}
		if row.Window != 0 {
			continue
		}
		row.Window = windows[len(windows)-1]
		for _, w := range slices.Backward(windows) {
			if dates[w] == row.Date && row.Date != 0 {
				row.Window = w
				break
			}
		}
		if it == nil {
			continue
		}
		at := it.Posted
		if row.Kind == recon.RowReversal {
			at = it.Reversed
		}
		if slices.Contains(windows, at) && (dates[at] == 0 || row.Date == 0 || dates[at] == row.Date) {
			row.Window = at
		}
	}
}
