package recon

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tongma/tongma"
)

// Header is the first line of a participant's file, letter for letter. doc.go
// says what each column holds.
const Header = "payment_id,scheme_ref,kind,status,amount,currency,fee,window,date,participant"

const (
	columns      = 10
	maxRows      = 5_000_000
	maxLine      = 1024    // bytes, with its end
	maxFile      = 1 << 30 // bytes
	maxSchemeRef = 64
)

var columnNames = strings.Split(Header, ",")

// CSVError is where and why a participant's file was refused. Its text repeats
// nothing of what stood there.
type CSVError struct {
	Line   int    // from 1; the header is line 1
	Column int    // from 1; zero if the line as a whole is at fault
	Name   string // of the column
	Err    error  // a *tongma.Error with the reason
}

// Error returns "recon: csv: line 12, column 5 (amount): reason".
func (e *CSVError) Error() string {
	at := fmt.Sprintf("line %d", e.Line)
	if e.Column > 0 {
		at += fmt.Sprintf(", column %d (%s)", e.Column, e.Name)
	}
	return "recon: csv: " + at + ": " + e.Err.Error()
}

// Unwrap returns the reason.
func (e *CSVError) Unwrap() error { return e.Err }

// RowKind is what a row reports.
type RowKind uint8

const (
	RowNone RowKind = iota
	RowPay
	RowTransfer
	RowRefund
	RowReversal // of a payment or transfer
)

var rowKindNames = [...]string{"", "pay", "transfer", "refund", "reversal"}

// String returns "pay", "transfer", "refund", "reversal" or "".
func (k RowKind) String() string {
	if int(k) < len(rowKindNames) {
		return rowKindNames[k]
	}
	return ""
}

// operation is the journal's word for k.
func (k RowKind) operation() tongma.Operation {
	switch k {
	case RowPay:
		return tongma.OpPay
	case RowTransfer:
		return tongma.OpTransfer
	case RowRefund:
		return tongma.OpRefund
	}
	return tongma.OpNone
}

// Date is a calendar day as the number yyyymmdd. Zero is none.
type Date uint32

// String returns "2026-11-22", or "".
func (d Date) String() string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%04d-%02d-%02d", d/10000, d/100%100, d%100)
}

// ParseDate reads "2026-11-22". Only days of the calendar are read.
func ParseDate(s string) (Date, bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	var n Date
	for i := range len(s) {
		if i == 4 || i == 7 {
			continue
		}
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + Date(s[i]-'0')
	}
	y, m, d := n/10000, n/100%100, n%100
	days := [...]Date{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	if y == 0 || m == 0 || m > 12 {
		return 0, false
	}
	last := days[m]
	if m == 2 && y%4 == 0 && (y%100 != 0 || y%400 == 0) {
		last++
	}
	return n, d >= 1 && d <= last
}

// Row is one line of a participant's file.
type Row struct {
	Line        int32 // from 1; the header is line 1
	Kind        RowKind
	Status      tongma.Status
	HasFee      bool
	Date        Date            // zero: the row gives a window
	Window      tongma.WindowID // zero: the row gives a date
	Payment     tongma.PaymentID
	SchemeRef   string
	Participant tongma.ParticipantID // whose movement it is
	Amount      tongma.Money
	Fee         int64 // minor units of the amount's currency
}

// File is what one sender reports about one window.
type File struct {
	Sender tongma.ParticipantID
	Covers []tongma.ParticipantID // for whom it may speak; none means the sender alone
	Hash   [32]byte               // SHA-256 of its bytes
	Rows   []Row
}

// Only returns the file with those rows alone that name window w, or none: for a
// sender that puts several windows of a day into one file.
func (f File) Only(w tongma.WindowID) File {
	var rows []Row
	for _, r := range f.Rows {
		if r.Window == w || r.Window == 0 {
			rows = append(rows, r)
		}
	}
	f.Rows = rows
	return f
}

// ReadCSV reads a participant's file: UTF-8 with or without a byte order mark,
// lines that end with LF or CRLF, the last one too. A file that breaks the format
// anywhere is refused as a whole, with a *CSVError that names line and column:
// half a file must never look like a file with payments missing.
func ReadCSV(r io.Reader, sender tongma.ParticipantID) (File, error) {
	hash := sha256.New()
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	p := csvReader{in: bufio.NewReaderSize(io.TeeReader(limited, hash), 1<<20),
		names: map[string]tongma.ParticipantID{"": sender}}
	f := File{Sender: sender}
	if err := p.header(); err != nil {
		return File{}, err
	}
	for {
		fields, err := p.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return File{}, err
		}
		if len(f.Rows) == maxRows {
			return File{}, p.bad(0, tongma.MessageTooLong, "more than 5000000 rows")
		}
		row, err := p.row(fields)
		if err != nil {
			return File{}, err
		}
		f.Rows = append(f.Rows, row)
	}
	if limited.N <= 0 {
		return File{}, p.bad(0, tongma.MessageTooLong, "more than 1 GiB")
	}
	f.Hash = [32]byte(hash.Sum(nil))
	return f, nil
}

type csvReader struct {
	in     *bufio.Reader
	line   int
	names  map[string]tongma.ParticipantID // seen before, so that a name is stored once
	fields [columns][]byte
}

func (p *csvReader) bad(column int, reason tongma.Reason, detail string) error {
	return p.wrap(column, &tongma.Error{Op: "recon.ReadCSV", Reason: reason, Detail: detail})
}

func (p *csvReader) wrap(column int, err error) error {
	e := &CSVError{Line: p.line, Column: column, Err: err}
	if column > 0 {
		e.Name = columnNames[column-1]
	}
	return e
}

// text returns the next line without its end, or io.EOF behind the last.
func (p *csvReader) text() ([]byte, error) {
	p.line++
	line, err := p.in.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err == io.EOF:
		return nil, p.bad(0, tongma.MessageMalformed, "the last line does not end: the file may be cut off")
	case errors.Is(err, bufio.ErrBufferFull) || (err == nil && len(line) > maxLine):
		return nil, p.bad(0, tongma.MessageTooLong, "more than 1024 bytes")
	case err != nil:
		return nil, p.wrap(0, &tongma.Error{Op: "recon.ReadCSV", Reason: tongma.Internal, Detail: "cannot be read", Err: err})
	}
	line = line[:len(line)-1]
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

func (p *csvReader) header() error {
	line, err := p.text()
	if err != nil && err != io.EOF {
		return err
	}
	if string(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))) != Header {
		return p.bad(0, tongma.MessageMalformed, "the header is not "+Header)
	}
	return nil
}

// next cuts the next line into its fields. They are good until the next call.
func (p *csvReader) next() (*[columns][]byte, error) {
	line, err := p.text()
	if err != nil {
		return nil, err
	}
	for i := range columns {
		var field []byte
		rest, ok := line, true
		if len(line) > 0 && line[0] == '"' {
			field, rest, ok = p.quoted(line)
		} else if end := bytes.IndexByte(line, ','); end >= 0 {
			field, rest = line[:end], line[end:]
		} else {
			field, rest = line, nil
		}
		if !ok || bytes.IndexByte(field, '"') >= 0 {
			return nil, p.bad(i+1, tongma.MessageMalformed, "quotes enclose a whole field, or are not there")
		}
		p.fields[i] = field
		last := i == columns-1
		if last != (len(rest) == 0) {
			return nil, p.bad(i+1, tongma.MessageMalformed, "a line has ten fields")
		}
		if !last {
			line = rest[1:]
		}
	}
	return &p.fields, nil
}

// quoted takes a quoted field off the front. No field of this format needs
// quotes; programs that put them round everything are read all the same. A quote
// inside a field is refused by the caller.
func (p *csvReader) quoted(line []byte) (field, rest []byte, ok bool) {
	end := bytes.IndexByte(line[1:], '"')
	if end < 0 {
		return nil, nil, false
	}
	field, rest = line[1:1+end], line[end+2:]
	return field, rest, len(rest) == 0 || rest[0] == ','
}

func (p *csvReader) row(f *[columns][]byte) (Row, error) {
	row := Row{Line: int32(p.line)}
	if err := p.keys(f, &row); err != nil {
		return Row{}, err
	}
	var ok bool
	if row.Kind, ok = parseRowKind(f[2]); !ok {
		return Row{}, p.bad(3, tongma.FieldInvalid, "want pay, transfer, refund or reversal")
	}
	if row.Status, ok = tongma.ParseStatus(string(f[3])); !ok {
		return Row{}, p.bad(4, tongma.FieldInvalid, "want approved, declined, reversed or pending")
	}
	if row.Amount.Currency, ok = tongma.CurrencyByCode(string(f[5])); !ok {
		return Row{}, p.bad(6, tongma.CurrencyUnknown, "")
	}
	var err error
	if row.Amount, err = p.money(f[4], 5, row.Amount.Currency); err != nil {
		return Row{}, err
	}
	if len(f[6]) > 0 {
		fee, err := p.money(f[6], 7, row.Amount.Currency)
		if err != nil {
			return Row{}, err
		}
		row.HasFee, row.Fee = true, fee.Minor
	}
	return row, p.when(f, &row)
}

// keys reads the columns that say which movement it is, and whose.
func (p *csvReader) keys(f *[columns][]byte, row *Row) error {
	if len(f[0]) > 0 {
		id, ok := parseID(f[0])
		if !ok {
			return p.bad(1, tongma.FieldInvalid, `want "pay_" and 26 characters of base 32`)
		}
		row.Payment = id
	}
	if len(f[1]) > maxSchemeRef || !printable(f[1]) {
		return p.bad(2, tongma.FieldInvalid, "want at most 64 printable ASCII characters")
	}
	row.SchemeRef = string(f[1])
	if row.Payment.IsZero() && row.SchemeRef == "" {
		return p.bad(1, tongma.FieldMissing, "a row has payment_id, scheme_ref or both")
	}
	name, ok := p.names[string(f[9])]
	if !ok {
		name = tongma.ParticipantID(f[9])
		if !name.Valid() {
			return p.bad(10, tongma.FieldInvalid, "not the form of a participant's id")
		}
		if len(p.names) < 1<<16 {
			p.names[string(name)] = name
		}
	}
	row.Participant = name
	return nil
}

func (p *csvReader) when(f *[columns][]byte, row *Row) error {
	var err error
	if len(f[7]) > 0 {
		if row.Window, err = tongma.ParseWindowID(string(f[7])); err != nil {
			return p.wrap(8, err)
		}
	}
	if len(f[8]) > 0 {
		d, ok := ParseDate(string(f[8]))
		if !ok {
			return p.bad(9, tongma.FieldInvalid, "want a day as 2026-11-22")
		}
		row.Date = d
	}
	if row.Window == 0 && row.Date == 0 {
		return p.bad(8, tongma.FieldMissing, "a row has window, date or both")
	}
	return nil
}

func parseRowKind(b []byte) (RowKind, bool) {
	for k := RowPay; k <= RowReversal; k++ {
		if rowKindNames[k] == string(b) {
			return k, true
		}
	}
	return RowNone, false
}

func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// parseID reads the text form of a payment id.
func parseID(b []byte) (tongma.PaymentID, bool) {
	id, err := tongma.ParsePaymentID(string(b))
	return id, err == nil && !id.IsZero()
}

// money reads an amount of at most twelve digits of minor units. Nearly every
// one is digits with exactly the decimals of its currency, which takes no
// arithmetic; what else tongma.ParseMoney allows, it reads
// (TestMoneyIsReadAsTheRootReadsIt).
func (p *csvReader) money(b []byte, column int, c tongma.Currency) (tongma.Money, error) {
	m, ok := plainMoney(b, c)
	if !ok {
		var err error
		if m, err = tongma.ParseMoney(string(b), c); err != nil {
			return tongma.Money{}, p.wrap(column, err)
		}
	}
	if m.Minor > tongma.MaxMinor {
		return tongma.Money{}, p.bad(column, tongma.AmountInvalid, "more than twelve digits")
	}
	return m, nil
}

func plainMoney(b []byte, c tongma.Currency) (tongma.Money, bool) {
	whole, digits := len(b), c.MinorUnits()
	if digits > 0 {
		whole -= digits + 1
	}
	if whole < 1 || len(b) > 16 {
		return tongma.Money{}, false
	}
	var n int64
	for i, d := range b {
		if i == whole {
			if d != '.' {
				return tongma.Money{}, false
			}
			continue
		}
		if d < '0' || d > '9' {
			return tongma.Money{}, false
		}
		n = n*10 + int64(d-'0')
	}
	return tongma.Money{Minor: n, Currency: c}, true
}
