package office

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/iso20022"
	"github.com/tongma/tongma/clearing/recon"
)

// pairWithin is how many windows apart the two sides may have a movement and it is
// still a matter of timing.
const pairWithin = 8

// reconciler is the register of breaks and the agent's messages, as they are in
// the data folder:
//
//	recon/register.json        every break and run, replaced as a whole
//	recon/agent/HASH.xml       every message of the settlement agent, never changed
//
// A message is written before the register that rests on it. A crash in between
// leaves a message that the next run takes in (TestACrashBetweenMessageAndRegister).
type reconciler struct {
	mu    sync.Mutex // guards all below, and is held for a whole run: one at a time
	dir   string     // empty: no register
	reg   *recon.Register
	agent []agentFile
}

func (r *reconciler) open(data string) error {
	if data == "" {
		return nil
	}
	r.dir = filepath.Join(data, "recon")
	reg, err := recon.Load(r.register())
	if errors.Is(err, os.ErrNotExist) {
		reg, err = recon.NewRegister(pairWithin), nil
	}
	if err != nil {
		return &tongma.Error{Op: "office", Reason: tongma.SetupInvalid, Detail: "the register of breaks cannot be read", Err: err}
	}
	r.reg = reg
	names, err := filepath.Glob(filepath.Join(r.dir, "agent", "*.xml"))
	if err != nil {
		return &tongma.Error{Op: "office", Reason: tongma.SetupInvalid, Err: err}
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		var f agentFile
		if err == nil {
			f, err = readAgent(data)
		}
		if err == nil && hex.EncodeToString(f.hash[:])+".xml" != filepath.Base(name) {
			err = &tongma.Error{Op: "office", Reason: tongma.FieldInvalid, Detail: "its bytes are not what its name says"}
		}
		if err != nil {
			return &tongma.Error{Op: "office", Reason: tongma.SetupInvalid, Detail: "a kept message of the agent cannot be read", Err: err}
		}
		r.agent = append(r.agent, f)
	}
	sortAgent(r.agent)
	return nil
}

func (r *reconciler) register() string { return filepath.Join(r.dir, "register.json") }

// keep writes a message of the agent, durably, unless it is there.
func (r *reconciler) keep(f agentFile, data []byte) error {
	dir := filepath.Join(r.dir, "agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeFile(dir, hex.EncodeToString(f.hash[:])+".xml", data)
}

func hashOf(data []byte) [32]byte { return sha256.Sum256(data) }

// Reconciliation is what is to be compared.
type Reconciliation struct {
	// Windows that the participants' files are about, closed. None: those that the
	// rows of each file name.
	Windows  []tongma.WindowID
	Files    []ReconFile
	DryRun   bool           // compare and report, and keep nothing
	Progress func(Progress) // called now and then by the goroutine of the caller; may be nil
}

// ReconInput is one file as it was taken in.
type ReconInput struct {
	Name   string               `json:"name"`
	Sender tongma.ParticipantID `json:"sender,omitempty"` // empty: the settlement agent
	Hash   string               `json:"hash"`
	Rows   int                  `json:"rows"`
	Known  bool                 `json:"known"`            // the same bytes were reconciled before
	Beside int                  `json:"beside,omitempty"` // rows of windows that this run is not about; they are not compared
}

// ReconReport is what a reconciliation found. Its Breaks are those of this run,
// as the register has them now.
type ReconReport struct {
	AsOf    time.Time         `json:"as_of"`
	Head    uint64            `json:"journal_head"`
	Windows []tongma.WindowID `json:"windows"`
	Inputs  []ReconInput      `json:"inputs"`
	New     int               `json:"new"`   // breaks that were not there before
	Seen    int               `json:"seen"`  // that were
	Ended   int               `json:"ended"` // that this run ended
	Tallies []recon.Tally     `json:"tallies"`
	Summary []recon.ReportRow `json:"summary"`
	Breaks  []recon.Break     `json:"breaks"`

	// Unreported are currencies in which the agent was instructed and of which it has never
	// sent a message: what it did there is not compared.
	Unreported []string `json:"unreported,omitempty"`
	DryRun     bool     `json:"dry_run,omitempty"`
}

// Reconcile reads the files, holds them against the journal and takes what differs
// into the register. A file that comes again finds the same breaks. A file that is
// malformed anywhere is refused, and nothing is kept of the run but the agent's
// messages before it. It changes no position; no money moves.
//
// Reasons: SetupInvalid (there is no data folder), FieldMissing (no file, or no
// window can be told), WindowUnknown, WindowNotClosed, ParticipantUnknown, those
// of package recon, iso20022 and of the journal.
func (o *Office) Reconcile(ctx context.Context, in Reconciliation) (ReconReport, error) {
	const op = "office.reconcile"
	if o.recon.dir == "" {
		return ReconReport{}, refuse(op, tongma.SetupInvalid, "", "there is no data folder to keep a register in")
	}
	if len(in.Files) == 0 {
		return ReconReport{}, refuse(op, tongma.FieldMissing, "/files", "there is no file to compare")
	}
	o.recon.mu.Lock()
	defer o.recon.mu.Unlock()
	r := &reconRun{o: o, in: in, asOf: o.Now().UTC(), windows: cycles{}, agent: slices.Clone(o.recon.agent)}
	for _, step := range []func(context.Context) error{r.read, r.journal, r.compareFiles, r.compareBank, r.keep} {
		if err := ctx.Err(); err != nil {
			return ReconReport{}, failed(op, &tongma.Error{Op: op, Reason: tongma.ShuttingDown, Err: err})
		}
		if err := step(ctx); err != nil {
			return ReconReport{}, failed(op, err)
		}
	}
	return r.report, nil
}

// reconRun is the work of one Reconcile, step by step.
type reconRun struct {
	o       *Office
	in      Reconciliation
	asOf    time.Time
	files   []recon.File
	xml     map[int]bool // of files: which were statements
	inputOf []int        // of files: their places in the report
	fresh   map[[32]byte][]byte
	agent   []agentFile // kept ones and new ones
	bank    bool        // the agent's side is to be compared
	items   *recon.Journal
	windows cycles
	results []recon.Result
	report  ReconReport
}

func (r *reconRun) tell(p Progress) {
	if r.in.Progress != nil {
		r.in.Progress(p)
	}
}

// read takes in all files.
func (r *reconRun) read(context.Context) error {
	r.xml, r.fresh = map[int]bool{}, map[[32]byte][]byte{}
	known := map[string]bool{}
	for _, run := range r.o.recon.reg.Runs() {
		for _, in := range run.Inputs {
			known[in.Hash] = true
		}
	}
	for i := range r.in.Files {
		f := &r.in.Files[i]
		body := bufio.NewReaderSize(&counted{r: f.Body, p: Progress{Step: "reading", Input: f.Name, Total: f.Size}, see: r.tell}, 1<<16)
		input, err := r.readOne(body, f)
		if err != nil {
			return inFile(f.Name, err)
		}
		input.Name, input.Sender, input.Known = f.Name, f.Sender, known[input.Hash]
		r.report.Inputs = append(r.report.Inputs, input)
	}
	return nil
}

// inFile says in which file a fault is. What a file holds is not repeated.
func inFile(name string, err error) error {
	var e *tongma.Error
	if !errors.As(err, &e) || strings.HasPrefix(e.Field, "/files/") {
		return err
	}
	out := &tongma.Error{Op: e.Op, Reason: e.Reason, Field: "/files/" + name, Offset: e.Offset, Detail: e.Detail}
	if e.Field != "" {
		out.Field += ", element " + e.Field
	}
	var rule iso20022.Fault
	if errors.As(err, &rule) {
		out.Detail = strings.TrimSuffix(string(rule)+": "+e.Detail, ": ")
	}
	var row *recon.CSVError
	if errors.As(err, &row) {
		out.Field += ", line " + strconv.Itoa(row.Line)
		if row.Column > 0 {
			out.Field += ", column " + row.Name
		}
	}
	return out
}

func (r *reconRun) readOne(body *bufio.Reader, f *ReconFile) (ReconInput, error) {
	if f.Sender == "" {
		return r.readAgent(body)
	}
	for _, p := range append([]tongma.ParticipantID{f.Sender}, f.Covers...) {
		if _, ok := r.o.Directory().Participant(p); !ok {
			return ReconInput{}, &tongma.Error{Op: "office.reconcile", Reason: tongma.ParticipantUnknown, Field: "/files/" + f.Name}
		}
	}
	r.xml[len(r.files)] = isXML(body)
	got, err := readParticipant(body, f)
	if err != nil {
		return ReconInput{}, err
	}
	r.files, r.inputOf = append(r.files, got), append(r.inputOf, len(r.report.Inputs))
	return ReconInput{Hash: hex.EncodeToString(got.Hash[:]), Rows: len(got.Rows)}, nil
}

func (r *reconRun) readAgent(body io.Reader) (ReconInput, error) {
	data, err := readMessage(body)
	var got agentFile
	if err == nil {
		got, err = readAgent(data)
	}
	if err != nil {
		return ReconInput{}, err
	}
	r.bank = true
	rows, ours := 0, r.o.settlementAccounts()
	for _, s := range got.statements {
		if rows += len(s.Entries); len(ours) > 0 && !ours[s.Account] {
			return ReconInput{}, &tongma.Error{Op: "office.reconcile", Reason: tongma.FieldInvalid, Detail: "a statement of an account that is no settlement account of the switch"}
		}
	}
	if !slices.ContainsFunc(r.agent, func(f agentFile) bool { return f.hash == got.hash }) {
		r.agent, r.fresh[got.hash] = append(r.agent, got), data
		sortAgent(r.agent)
	}
	return ReconInput{Hash: hex.EncodeToString(got.hash[:]), Rows: rows}, nil
}

// settlementAccounts are the switch's accounts at its agents, as the directory
// names them or has named them: none if it never named one, and then any statement is
// taken. The last statements of an account come after it was given up.
func (o *Office) settlementAccounts() map[string]bool {
	accounts := map[string]bool{}
	for d, ok := o.Directory(), true; ok; {
		for _, a := range d.Agents() {
			for _, id := range a.Settlement {
				accounts[cmp.Or(id.IBAN, id.Other)] = true
			}
		}
		if o.Past == nil {
			break
		}
		d, ok = o.Past.At(d.Version() - 1)
	}
	return accounts
}

// journal reads the journal, beside its writer.
func (r *reconRun) journal(ctx context.Context) error {
	r.items = recon.NewJournal()
	var head, seen int64
	err := r.o.Ledger.Read(ctx, func(b *clearing.Book) { head = int64(b.Next()) - 1 })
	if err != nil {
		return err
	}
	err = r.o.entries(ctx, func(e *clearing.Entry) error {
		if seen++; seen&0xffff == 0 {
			r.tell(Progress{Step: "journal", Done: seen, Total: head})
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		r.windows.add(e)
		return r.items.Add(e)
	})
	r.tell(Progress{Step: "journal", Done: seen, Total: seen})
	r.report.AsOf, r.report.Head = r.asOf, r.items.Head()
	return err
}

// compareFiles holds each participant's file against its windows.
func (r *reconRun) compareFiles(ctx context.Context) error {
	if len(r.files) == 0 {
		return nil
	}
	windows, err := r.choose()
	if err != nil {
		return err
	}
	dates, list := r.dates(windows)
	var x *ledgerIndex
	for i := range r.files {
		f := &r.files[i]
		if r.xml[i] || slices.ContainsFunc(f.Rows, func(row recon.Row) bool { return row.Window == 0 }) {
			if x == nil {
				x = indexOf(r.items.Items())
			}
			assign(f, x, windows, dates, r.xml[i])
		}
	}
	parts := make([][]recon.File, len(r.files))
	for i := range r.files {
		parts[i] = r.split(i, windows)
	}
	for n, w := range windows {
		r.tell(Progress{Step: "comparing", Input: w.String(), Done: int64(n), Total: int64(len(windows))})
		in := recon.Input{Window: w, AsOf: r.asOf, Head: r.items.Head(), Items: r.items.Items(), Cycles: list, Fee: recon.Charged}
		for i := range parts {
			if len(r.in.Windows) > 0 || len(parts[i][n].Rows) > 0 {
				in.Files = append(in.Files, parts[i][n])
			}
		}
		if len(in.Files) == 0 {
			continue
		}
		res, err := recon.Reconcile(in)
		if err != nil {
			return err
		}
		r.results = append(r.results, res)
		r.report.Windows = append(r.report.Windows, w)
	}
	return nil
}

// split cuts a file into one for each window. Rows of windows that do not exist go
// to the last one, where they are found to be breaks; rows of others that this run
// is not about are counted and left for the run that is.
func (r *reconRun) split(i int, windows []tongma.WindowID) []recon.File {
	f := r.files[i]
	place := make(map[tongma.WindowID]int, len(windows))
	parts := make([]recon.File, len(windows))
	for n, w := range windows {
		place[w], parts[n] = n, f
		parts[n].Rows = nil
	}
	if len(windows) == 1 {
		parts[0].Rows = make([]recon.Row, 0, len(f.Rows))
	}
	for _, row := range f.Rows {
		n, ok := place[row.Window]
		if !ok && row.Window > r.items.LastWindow() {
			n, ok = len(windows)-1, true
		}
		if !ok {
			r.report.Inputs[r.inputOf[i]].Beside++
			continue
		}
		parts[n].Rows = append(parts[n].Rows, row)
	}
	return parts
}

// choose returns the windows that the files are about.
func (r *reconRun) choose() ([]tongma.WindowID, error) {
	const op = "office.reconcile"
	windows := slices.Clone(r.in.Windows)
	if len(windows) == 0 {
		named := map[tongma.WindowID]bool{}
		for _, f := range r.files {
			for i := range f.Rows {
				named[f.Rows[i].Window] = true
			}
		}
		for w := range named {
			if info := r.windows[w]; info != nil && !info.closed.IsZero() { // a row of another window is a break of the windows that are there
				windows = append(windows, w)
			}
		}
		if len(windows) == 0 {
			return nil, &tongma.Error{Op: op, Reason: tongma.FieldMissing, Field: "/windows", Detail: "the rows name no closed window: say which ones the files are about"}
		}
	}
	slices.Sort(windows)
	windows = slices.Compact(windows)
	for _, w := range windows {
		switch info := r.windows[w]; {
		case w > r.items.LastWindow() || w == 0:
			return nil, &tongma.Error{Op: op, Reason: tongma.WindowUnknown, Field: w.String()}
		case info == nil || info.closed.IsZero():
			return nil, &tongma.Error{Op: op, Reason: tongma.WindowNotClosed, Field: w.String()}
		}
	}
	return windows, nil
}

// dates returns the business day of each closed window, as far as its schedule
// tells it, and what recon wants to know of them all.
func (r *reconRun) dates(windows []tongma.WindowID) (map[tongma.WindowID]recon.Date, []recon.Cycle) {
	dates := map[tongma.WindowID]recon.Date{}
	var list []recon.Cycle
	for w, info := range r.windows {
		if d, ok := r.o.businessDay(info); ok {
			dates[w] = d
		}
		list = append(list, recon.Cycle{Window: w, Date: dates[w], Closed: info.closed})
	}
	slices.SortFunc(list, func(x, y recon.Cycle) int { return int(x.Window) - int(y.Window) })
	return dates, list
}

// businessDay is the day of the cut-off where its schedule lives. A window that
// was closed by hand has none: then days are not compared.
func (o *Office) businessDay(info *cycleInfo) (recon.Date, bool) {
	m, ok := o.Directory().SettlementModel(info.model)
	if !ok || m.Schedule == nil || info.cutoff.IsZero() {
		return 0, false
	}
	zone, err := time.LoadLocation(m.Schedule.Zone())
	if err != nil {
		return 0, false
	}
	return recon.ParseDate(info.cutoff.In(zone).Format(time.DateOnly))
}

// compareBank holds all that the agent ever reported against all that it was
// instructed to do until its newest message, in each currency for itself: a statement of
// one account says nothing of another.
func (r *reconRun) compareBank(ctx context.Context) error {
	if !r.bank {
		return nil
	}
	due := map[tongma.WindowID][]clearing.Instruction{}
	if err := r.o.Ledger.Read(ctx, func(b *clearing.Book) {
		for w, info := range r.windows {
			if s, ok := b.Sheet(w); ok && !info.settled && !info.instructed.IsZero() {
				due[w] = clearing.Instruct(s)
			}
		}
	}); err != nil {
		return err
	}
	reported := reportedUntil(r.agent, r.asOf)
	r.tell(Progress{Step: "comparing", Input: recon.SideBank, Done: 0, Total: 1})
	legs := slices.DeleteFunc(r.windows.legs(r.asOf, func(w tongma.WindowID) []clearing.Instruction { return due[w] }), func(l recon.Leg) bool {
		until, ok := reported[l.Amount.Currency]
		if code := l.Amount.Currency.Code(); !ok && !slices.Contains(r.report.Unreported, code) {
			r.report.Unreported = append(r.report.Unreported, code)
		}
		return !ok || !r.windows[l.Window].instructedBy(until)
	})
	slices.Sort(r.report.Unreported)
	window := r.items.LastWindow()
	if len(legs) > 0 {
		window = legs[len(legs)-1].Window
	}
	res, err := recon.Reconcile(recon.Input{Window: window, AsOf: r.asOf, Head: r.items.Head(), Legs: legs, Statements: previous(r.agent)})
	if err != nil {
		return err
	}
	r.results = append(r.results, res)
	return nil
}

// keep merges what was found into the register and makes it durable.
func (r *reconRun) keep(context.Context) error {
	k := &r.o.recon
	reg := k.reg.Clone()
	found := map[string]bool{}
	for _, res := range r.results {
		m, err := reg.Merge(res)
		if err != nil {
			return err
		}
		r.report.New, r.report.Seen, r.report.Ended = r.report.New+m.New, r.report.Seen+m.Seen, r.report.Ended+m.Ended
		r.report.Tallies = append(r.report.Tallies, res.Tallies...)
		for _, b := range res.Breaks {
			found[b.ID] = true
		}
	}
	r.report.DryRun, r.report.Breaks = r.in.DryRun, []recon.Break{}
	for _, b := range reg.Breaks() {
		if found[b.ID] {
			r.report.Breaks = append(r.report.Breaks, b)
		}
	}
	sum, err := recon.Summarise(r.report.Breaks, r.asOf)
	if r.report.Summary = sum.Rows; err != nil || r.in.DryRun {
		return err
	}
	r.tell(Progress{Step: "saving", Done: 0, Total: 1})
	for _, f := range r.agent {
		if data := r.fresh[f.hash]; data != nil {
			if err := k.keep(f, data); err != nil {
				return &tongma.Error{Op: "office.reconcile", Reason: tongma.SetupInvalid, Detail: "the agent's message could not be kept", Err: err}
			}
		}
	}
	if err := k.save(reg); err != nil {
		return err
	}
	k.agent = r.agent // durable from here
	r.tell(Progress{Step: "saving", Done: 1, Total: 1})
	return nil
}

// save replaces the register on disk, and then the one in memory.
func (r *reconciler) save(reg *recon.Register) error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return &tongma.Error{Op: "office.reconcile", Reason: tongma.SetupInvalid, Err: err}
	}
	if err := reg.Save(r.register()); err != nil {
		return err
	}
	r.reg = reg
	return nil
}

// writeFile puts a file in place whole or not at all.
func writeFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// BreakFilter chooses breaks; what is zero does not choose.
type BreakFilter struct {
	State       string // "open", "ended", or "" for both
	Kind        recon.Kind
	Owner       recon.Owner
	Participant tongma.ParticipantID
	Window      tongma.WindowID
	Payment     tongma.PaymentID
	Currency    tongma.Currency
	AtRisk      int64         // minor units: at least so much
	Age         time.Duration // open for at least so long
	Limit       int
}

func (f *BreakFilter) takes(b *recon.Break, asOf time.Time) bool {
	return (f.State == "" || b.Open() == (f.State == "open")) && (f.Kind == recon.KindNone || b.Kind == f.Kind) &&
		(f.Owner == "" || b.Owner == f.Owner) && (f.Participant == "" || b.Participant == f.Participant) &&
		(f.Window == 0 || b.Window == f.Window) && (f.Payment.IsZero() || b.Payment == f.Payment) &&
		(f.Currency == 0 || b.AtRisk.Currency == f.Currency) && b.AtRisk.Minor >= f.AtRisk && (f.Age == 0 || b.Age(asOf) >= f.Age)
}

// Breaks returns breaks of the register, oldest first. Reasons: SetupInvalid
// (there is no register), FieldInvalid (an unknown state).
func (o *Office) Breaks(f BreakFilter) ([]recon.Break, error) {
	if o.recon.dir == "" || (f.State != "" && f.State != "open" && f.State != "ended") {
		reason := tongma.FieldInvalid
		if o.recon.dir == "" {
			reason = tongma.SetupInvalid
		}
		return nil, refuse("office.breaks", reason, "/state", "")
	}
	asOf := o.Now()
	o.recon.mu.Lock()
	defer o.recon.mu.Unlock()
	out := []recon.Break{}
	for _, b := range o.recon.reg.Breaks() {
		if f.takes(&b, asOf) && (f.Limit <= 0 || len(out) < f.Limit) {
			out = append(out, b)
		}
	}
	return out, nil
}

// How a person resolves a break.
const (
	Corrected  = "corrected"   // an entry of the journal put it right: Entry says which
	Explained  = "explained"   // nothing has to move: timing, a wrong file
	WrittenOff = "written-off" // nobody will pay it
)

// BreakResolution ends a break.
type BreakResolution struct {
	Break  string // its id
	How    string // Corrected, Explained or WrittenOff
	Entry  uint64 // Corrected: the journal entry that put it right
	By     string // the person who decides
	Note   string // one line, up to 400 bytes
	DryRun bool
}

// Resolve ends a break by a person's word, for good: a break is never edited, and
// the same difference found again is a new one. It moves no money; the entry that
// does is named. Reasons: FieldInvalid, BreakUnknown, StateConflict (it has ended
// already).
func (o *Office) Resolve(ctx context.Context, in BreakResolution) (recon.Break, error) {
	const op = "office.resolve"
	switch {
	case o.recon.dir == "":
		return recon.Break{}, refuse(op, tongma.SetupInvalid, "", "there is no register")
	case in.How != Corrected && in.How != Explained && in.How != WrittenOff:
		return recon.Break{}, refuse(op, tongma.FieldInvalid, "/how", strings.Join([]string{Corrected, Explained, WrittenOff}, ", ")+" are the ways")
	case (in.Entry != 0) != (in.How == Corrected):
		return recon.Break{}, refuse(op, tongma.FieldInvalid, "/entry", "what was corrected names the journal entry that did it, and nothing else does")
	case !line(in.By, maxPerson):
		return recon.Break{}, refuse(op, tongma.FieldInvalid, "/by", "the person who decides is named in one line of up to 32 bytes")
	case !line(in.Note, 400):
		return recon.Break{}, refuse(op, tongma.FieldInvalid, "/note", "one line of up to 400 bytes says why")
	}
	head := uint64(0)
	if err := o.Ledger.Read(ctx, func(b *clearing.Book) { head = b.Next() }); err != nil {
		return recon.Break{}, failed(op, err)
	}
	if in.Entry >= head {
		return recon.Break{}, refuse(op, tongma.FieldInvalid, "/entry", "the journal has no such entry")
	}
	o.recon.mu.Lock()
	defer o.recon.mu.Unlock()
	reg := o.recon.reg.Clone()
	err := reg.Resolve(in.Break, o.Now().UTC(), in.By, in.Entry, in.How+": "+in.Note)
	if err == nil && !in.DryRun {
		err = o.recon.save(reg)
	}
	if err != nil {
		return recon.Break{}, failed(op, err)
	}
	b, _ := reg.Break(in.Break)
	return b, nil
}
