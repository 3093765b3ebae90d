package api

import (
	"bytes"
	"errors"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/switch/office"
)

// Bounds of an upload.
const (
	uploadMost                 = 256 << 20 // bytes, all files together
	uploadMemory               = 8 << 20   // of them in memory, the rest in files that are removed
	uploadFiles                = 64
	uploadWithin               = 10 * time.Minute
	uploadsAtOnce              = 2
	breaksStandard, breaksMost = 100, 10_000
)

// Names of the parts of an upload.
const (
	partAgent = "agent" // a message of the settlement agent
	partFrom  = "from:" // and a participant's name: its file
)

// BreakList is the answer to GET /v1/recon/breaks.
type BreakList struct {
	Breaks []recon.Break `json:"breaks" doc:"oldest first"`
	AsOf   time.Time     `json:"as_of"`
}

// reconcile takes the files of an upload and holds them against the journal.
func (c *call) reconcile() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	in := office.Reconciliation{}
	if in.DryRun, err = c.dryRun(); err != nil {
		return err
	}
	if in.Windows, err = c.windowIDs(); err != nil {
		return err
	}
	if c.uploads.Add(1) > uploadsAtOnce {
		c.uploads.Add(-1)
		return &tongma.Error{Op: "http.recon", Reason: tongma.Overloaded, Detail: "other files are being compared"}
	}
	defer c.uploads.Add(-1)
	form, err := c.upload()
	if err != nil {
		return err
	}
	defer func() { _ = form.RemoveAll() }()
	var closeAll func()
	in.Files, closeAll, err = filesOf(form, c.r.URL.Query())
	defer closeAll()
	if err != nil {
		return err
	}
	ctx, cancel := c.within(uploadWithin)
	defer cancel()
	report, err := o.Reconcile(ctx, in)
	if err != nil {
		return err
	}
	return c.sendReport(&report)
}

func (c *call) sendReport(r *office.ReconReport) error {
	form, err := c.wants("json", "csv")
	if err != nil {
		return err
	}
	if form == "json" {
		return c.send(r)
	}
	var b bytes.Buffer
	if err := r.WriteCSV(&b); err != nil {
		return err
	}
	return c.attach("text/csv", "breaks.csv", b.Bytes())
}

// upload reads a form of files, bounded in bytes and in time.
func (c *call) upload() (*multipart.Form, error) {
	rc := http.NewResponseController(c.w)
	_ = rc.SetReadDeadline(time.Now().Add(uploadWithin))
	c.patience(2 * uploadWithin)
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		return nil, &statusError{http.StatusUnsupportedMediaType, &tongma.Error{Op: "http.recon", Reason: tongma.MessageMalformed, Detail: "the content type must be multipart/form-data"}}
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, uploadMost)
	err = c.r.ParseMultipartForm(uploadMemory)
	_ = rc.SetReadDeadline(time.Time{})
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long), errors.Is(err, multipart.ErrMessageTooLarge):
		return nil, &tongma.Error{Op: "http.recon", Reason: tongma.MessageTooLong, Detail: "at most 256 MiB in all"}
	case err != nil:
		return nil, &tongma.Error{Op: "http.recon", Reason: tongma.MessageMalformed, Detail: "the form cannot be read"}
	}
	return c.r.MultipartForm, nil
}

// filesOf opens the files of a form. The caller closes them, whatever the error.
func filesOf(form *multipart.Form, q url.Values) (files []office.ReconFile, closeAll func(), err error) {
	var opened []multipart.File
	closeAll = func() {
		for _, f := range opened {
			_ = f.Close()
		}
	}
	bad := func(field, detail string) error {
		return &tongma.Error{Op: "http.recon", Reason: tongma.FieldInvalid, Field: field, Detail: detail}
	}
	for _, name := range slices.Sorted(maps.Keys(form.File)) {
		headers := form.File[name]
		sender, participants := strings.CutPrefix(name, partFrom)
		if name != partAgent && (!participants || !tongma.ParticipantID(sender).Valid()) {
			return nil, closeAll, bad("/parts", `a part is called "agent", or "from:" and the participant that sent it`)
		}
		for _, h := range headers {
			if len(opened) == uploadFiles {
				return nil, closeAll, bad("/parts", "too many files")
			}
			f, err := h.Open()
			if err != nil {
				return nil, closeAll, &tongma.Error{Op: "http.recon", Reason: tongma.Internal, Err: err}
			}
			opened = append(opened, f)
			file := office.ReconFile{Name: h.Filename, Body: f, Size: h.Size}
			if participants {
				file.Sender = tongma.ParticipantID(sender)
				for _, who := range q["covers:"+sender] {
					file.Covers = append(file.Covers, tongma.ParticipantID(who))
				}
			}
			files = append(files, file)
		}
	}
	return files, closeAll, nil
}

// breaks lists breaks of the register.
func (c *call) breaks() error {
	o, err := c.office()
	if err != nil {
		return err
	}
	f, err := c.breakFilter()
	if err != nil {
		return err
	}
	form, err := c.wants("json", "csv")
	if err != nil {
		return err
	}
	list, err := o.Breaks(f)
	if err == nil {
		err = c.heardOf(f.Participant, len(list))
	}
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if form == "json" {
		return c.send(BreakList{Breaks: list, AsOf: now})
	}
	var b bytes.Buffer
	if err := recon.WriteBreaks(&b, list, now); err != nil {
		return err
	}
	return c.attach("text/csv", "breaks.csv", b.Bytes())
}

func (c *call) breakFilter() (f office.BreakFilter, err error) {
	q := c.r.URL.Query()
	bad := func(name, detail string) error {
		return &tongma.Error{Op: "http", Reason: tongma.FieldInvalid, Field: "?" + name, Detail: detail}
	}
	for name, values := range map[string][]string{"state": {"open", "ended"}, "owner": {"switch", "participant", "agent"}} {
		if v := q.Get(name); v != "" && !slices.Contains(values, v) {
			return f, bad(name, strings.Join(values, ", "))
		}
	}
	f.State, f.Owner, f.Participant = q.Get("state"), recon.Owner(q.Get("owner")), tongma.ParticipantID(q.Get("participant"))
	if text := q.Get("kind"); text != "" && f.Kind.UnmarshalText([]byte(text)) != nil {
		return f, bad("kind", "no such kind of break")
	}
	if text := q.Get("window"); text != "" {
		if f.Window, err = tongma.ParseWindowID(text); err != nil {
			return f, bad("window", "not a window id")
		}
	}
	if text := q.Get("payment"); text != "" {
		if f.Payment, err = tongma.ParsePaymentID(text); err != nil {
			return f, bad("payment", "not a payment id")
		}
	}
	if text := q.Get("currency"); text != "" {
		var ok bool
		if f.Currency, ok = tongma.CurrencyByCode(text); !ok {
			return f, bad("currency", "no such currency")
		}
	}
	if f.AtRisk, err = c.wholeNumber("at_risk_minor", tongma.MaxMinor); err != nil {
		return f, err
	}
	hours, err := c.wholeNumber("age_hours", 100_000)
	if err != nil {
		return f, err
	}
	f.Age = time.Duration(hours) * time.Hour
	f.Limit, err = c.limit(breaksStandard, breaksMost)
	return f, err
}
