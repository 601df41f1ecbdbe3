"""Files of concentrations and uncertainties."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from partwise import PositiveMatrixFactorization
from partwise.recipes.air_quality import read_measurements

pandas = pytest.importorskip("pandas")

CONCENTRATIONS = """Date,Iron,Zinc,Lead
,ug/m3,ug/m3,ng/m3
6/1/2005 6:00,0.3,-999,1.5
6/2/2005 3:00,0.2,0.04,
6/2/2005 6:00,0.1,-0.02,2.5
"""
UNCERTAINTY = """Date,Zinc,Iron,Lead
6/1/2005 6:00,-999,0.03,0.2
6/2/2005 3:00,0.01,0.02,NA
6/2/2005 6:00,0.01,0.02,0.3
"""


def written(tmp_path, text, name="con.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("separator", "name"), [(",", "a.csv"), ("\t", "a.txt"), (";", "a.csv")])
def test_dates_units_codes_and_the_order_of_columns(tmp_path, separator, name):
    con = written(tmp_path, CONCENTRATIONS.replace(",", separator), name)
    unc = written(tmp_path, UNCERTAINTY.replace(",", separator), "unc" + name)
    data = read_measurements(con, unc)
    assert data.units == {"Iron": "ug/m3", "Zinc": "ug/m3", "Lead": "ng/m3"}
    wanted = [[0.3, np.nan, 1.5], [0.2, 0.04, np.nan], [0.1, -0.02, 2.5]]
    np.testing.assert_array_equal(data.concentrations.to_numpy(), wanted)
    assert data.concentrations.columns.tolist() == data.uncertainty.columns.tolist()
    np.testing.assert_array_equal(data.uncertainty["Zinc"], [np.nan, 0.01, 0.01])
    assert data.concentrations.index[0] == pandas.Timestamp("2005-06-01 06:00")
    assert data.concentrations.index.name == "Date"


def test_files_without_units_dates_or_with_other_codes(tmp_path):
    plain = read_measurements(written(tmp_path, "A,B\n1,2\n3,-99\n"), missing=[-99, 2])
    np.testing.assert_array_equal(plain.concentrations.to_numpy(), [[1, np.nan], [3, np.nan]])
    assert plain.units == {}
    assert plain.uncertainty is None
    kept = read_measurements(written(tmp_path, "A,B\n1,2\n3,-99\n"))
    assert kept.concentrations["B"].tolist() == [2, -99]
    two = read_measurements(
        written(tmp_path, "\ufeffSite,Date,A\nX,2001-01-02,1\n\nY,2001-01-03,2\n")
    )
    assert two.concentrations.index.tolist() == list(
        pandas.to_datetime(["2001-01-02", "2001-01-03"])
    )
    named = read_measurements(written(tmp_path, "Sample,A,B\nfirst,1,2\nsecond,3,4\n"))
    assert named.concentrations.index.tolist() == ["first", "second"]
    numbered = read_measurements(written(tmp_path, "id,A,B\n7,1,2\n8,3,4\n"))
    assert numbered.concentrations.columns.tolist() == ["A", "B"]


def test_workbooks(tmp_path):
    pytest.importorskip("openpyxl")
    frame = pandas.DataFrame(
        {
            "Date": [None, *pandas.to_datetime(["2001-01-02", "2001-01-05"])],
            "Iron": ["ug/m3", 0.25, -999],
            "Zinc": ["ug/m3", None, 3],
        }
    )
    with pandas.ExcelWriter(tmp_path / "con.xlsx") as book:
        pandas.DataFrame([["notes"]]).to_excel(book, sheet_name="about", header=False, index=False)
        frame.to_excel(book, sheet_name="data", index=False)
    data = read_measurements(tmp_path / "con.xlsx", sheet="data")
    np.testing.assert_array_equal(data.concentrations, [[0.25, np.nan], [np.nan, 3]])
    assert data.units == {"Iron": "ug/m3", "Zinc": "ug/m3"}
    assert data.concentrations.index[1] == pandas.Timestamp("2001-01-05")


@pytest.mark.parametrize("name", ["con.xls", "con.XLSX"])
def test_workbooks_in_the_old_format_say_what_to_do(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "xlrd", None)
    (tmp_path / name).write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000))
    message = r"con\.(xls|XLSX): got .* \.xls, without xlrd; .* Save it as \.xlsx.*pip install xlrd"
    with pytest.raises(ImportError, match=message):
        read_measurements(tmp_path / name)


def test_workbooks_without_openpyxl_say_what_to_do(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    pandas.DataFrame({"A": [1, 2]}).to_excel(tmp_path / "con.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r'no openpyxl; .*pip install "partwise\[files\]"'):
        read_measurements(tmp_path / "con.xlsx")


def test_a_fit_of_what_was_read(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.gamma(1, size=(40, 2)) @ rng.gamma(1, size=(2, 5))
    s = 0.1 * true + 0.02
    X = true + s * rng.standard_normal(true.shape)
    X[3, 2] = -999
    dates = pandas.date_range("2001-01-01", periods=40, name="Date")
    for name, values in (("con.csv", X), ("unc.csv", s)):
        pandas.DataFrame(values, dates, columns=list("abcde")).to_csv(tmp_path / name)
    data = read_measurements(tmp_path / "con.csv", tmp_path / "unc.csv")
    model = PositiveMatrixFactorization(2, n_init=2, random_state=0, weak=["b"])
    model.fit(data.concentrations, uncertainty=data.uncertainty)
    byhand = PositiveMatrixFactorization(2, n_init=2, random_state=0, weak=[1])
    byhand.fit(np.where(X == -999, np.nan, X), uncertainty=s)
    assert model.q_true_ == byhand.q_true_


def test_what_is_refused(tmp_path):
    con = written(tmp_path, CONCENTRATIONS)
    with pytest.raises(ValueError, match="'low' in row 2 of 'B'"):
        read_measurements(written(tmp_path, "A,B\n1,low\n3,4\n", "bad.csv"))
    with pytest.raises(ValueError, match="the species 'A' 2 times"):
        read_measurements(written(tmp_path, "A,A\n1,2\n3,4\n", "bad.csv"))
    with pytest.raises(ValueError, match="1 rows; wanted names and samples"):
        read_measurements(written(tmp_path, "A,B\n", "bad.csv"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_measurements(tmp_path / "none.csv")
    for change, message in (
        (lambda text: text.replace("Zinc", "Tin"), r"no column for \['Zinc'\]"),
        (lambda text: text.replace("Lead", "Lead,More").replace("\n6", ",1\n6", 1), "."),
        (lambda text: text.rsplit("\n", 2)[0], "2 rows of numbers; wanted 3"),
        (lambda text: text.replace("6/2/2005 3", "6/3/2005 3"), "for sample 2; wanted 2005-06-02"),
    ):
        unc = written(tmp_path, change(UNCERTAINTY), "unc.csv")
        with pytest.raises(ValueError, match=message):
            read_measurements(con, unc)
