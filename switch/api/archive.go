package api

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
	"github.com/tongma/tongma/switch/settle"
)

const archiveMost = 200_000 // payments in an archive; of a larger window they are left out

// archive is all that there is of a window, in files: tables, JSON, the messages to
// the agents that the directory names, and what proves them: the text whose SHA-256 is
// the sheet's hash, and the sums of all files.
func (c *call) archive(s clearing.Sheet) ([]byte, error) {
	var items []clearing.WindowItem
	if err := c.eachPayment(s.Window, clearing.WindowCursor{}, func(it *clearing.WindowItem) bool {
		items = append(items, *it)
		return len(items) <= archiveMost
	}); err != nil {
		return nil, err
	}
	left := len(items) > archiveMost
	if left {
		items = nil
	}
	files := settle.CSV(s, items)
	whole, err := settle.JSON(s, items)
	if err != nil {
		return nil, err
	}
	files = append(files, whole)
	unnamed := ""
	if s.State != clearing.WindowOpen {
		files = append(files, settle.File{Name: stem(&s) + "-sheet.txt", Body: sheetText(&s)})
		messages, err := settle.ISO20022(instructed(s), c.directoryOf(&s), time.Now())
		if tongma.ReasonOf(err) == tongma.SetupInvalid {
			unnamed = err.Error()
		} else if err != nil {
			return nil, err
		}
		files = append(files, messages...)
	}
	return zipped(withProofs(&s, files, left, unnamed))
}

// directoryOf returns the version that messages about a window are made by.
func (c *call) directoryOf(s *clearing.Sheet) *schemes.Directory {
	if c.cfg.Settler == nil || len(s.Totals) == 0 {
		return c.cfg.Engine.Directory()
	}
	return c.cfg.Settler.DirectoryOf(s, s.Totals[0].Currency)
}

func stem(s *clearing.Sheet) string { return strings.ReplaceAll(s.Window.String(), "_", "-") }

// instructed is a settled sheet as it was before anything of it was paid, so that its
// messages are those that were sent; of any other, what is due is still to be sent.
func instructed(s clearing.Sheet) clearing.Sheet {
	if s.State == clearing.WindowSettled {
		s.Legs = slices.Clone(s.Legs)
		for i := range s.Legs {
			s.Legs[i].Due, s.Legs[i].Settled, s.Legs[i].Tries = s.Legs[i].Net, 0, 0
		}
	}
	return s
}

// sheetText is the text whose SHA-256 is the hash of a closed sheet, as docs/journal.md
// gives it. It is written a second time here, so that an archive proves the books'
// hash and does not repeat it.
func sheetText(s *clearing.Sheet) []byte {
	text := fmt.Appendf(nil, "tongma net sheet 1\nwindow %d\nentries %d %d\n", s.Window, s.Opened, s.Closed)
	if s.Model != "" || s.Method != calendar.Multilateral {
		text = fmt.Appendf(text, "model %s %s\n", cmp.Or(s.Model, "-"), s.Method)
	}
	if s.ValueDate != 0 {
		text = fmt.Appendf(text, "value %d\n", s.ValueDate)
	}
	for _, n := range s.Nets {
		text = fmt.Appendf(text, "%s %s %d\n", n.Currency.Code(), n.Participant, n.Debits-n.Credits)
	}
	for _, l := range s.Legs {
		if s.Method != calendar.Multilateral && l.Net != 0 {
			text = fmt.Appendf(text, "%s %s pays %s %d\n", l.Currency.Code(), l.Debtor, l.Creditor, l.Net)
		}
	}
	return text
}

// withProofs puts before the files what they are, and behind them their sums.
func withProofs(s *clearing.Sheet, files []settle.File, left bool, unnamed string) []settle.File {
	var about, sums strings.Builder
	fmt.Fprintf(&about, "Window %s, %s, net sheet %s\n\n", s.Window, s.Progress, hex.EncodeToString(s.Hash[:]))
	about.WriteString("Check that nothing was altered on the way:   sha256sum -c SHA256SUMS\n")
	switch {
	case s.State == clearing.WindowOpen:
		about.WriteString("The window is open: its figures change, and there is nothing to settle yet.\n")
	case s.State == clearing.WindowSettled:
		fmt.Fprintf(&about, "Check the hash of the sheet:                 sha256sum %s-sheet.txt\nThe messages are those of the whole sheet; all of it is settled.\n", stem(s))
	default:
		fmt.Fprintf(&about, "Check the hash of the sheet:                 sha256sum %s-sheet.txt\nThe messages are what the settlement agent is still to be told.\n", stem(s))
	}
	if unnamed != "" {
		fmt.Fprintf(&about, "Messages are missing: %s.\n", unnamed)
	}
	if left {
		fmt.Fprintf(&about, "The payments are left out, since they are more than %d: tongma window payments %s\n", archiveMost, s.Window)
	}
	about.WriteString("Amounts are decimals of their currency; in the sheet's text they are minor units.\n")
	files = slices.Insert(files, 0, settle.File{Name: "README.txt", Body: []byte(about.String())})
	for _, f := range files {
		sum := sha256.Sum256(f.Body)
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum[:]), f.Name)
	}
	return append(files, settle.File{Name: "SHA256SUMS", Body: []byte(sums.String())})
}

func zipped(files []settle.File) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.Name)
		if err == nil {
			_, err = w.Write(f.Body)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
