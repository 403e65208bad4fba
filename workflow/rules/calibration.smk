# Beside the flow: an assay's own calibration of p_ctc from the laboratory's reviewed cells, and the cells to label next.


rule calibration:
    input:
        collect("<results>/calibration/{assay}.html", assay=study.assays),


# A command line cannot hold the names of all results once there are some hundred samples.
rule list_reviewed:
    input:
        template=ARGUMENTS,
        calls=lambda wildcards: [
            f"{RESULTS}/samples/{name}/calls.parquet"
            for name in of_assay(wildcards.assay)
        ],
        reviews=lambda wildcards: [
            str(path)
            for name in of_assay(wildcards.assay)
            for path in study.reviews.get(name, [])
        ],
    output:
        temp("<results>/calibration/{assay}.args"),
    log:
        "<logs>/calibration/{assay}.list.log",
    params:
        settings=settings("calibrate", of="assay"),
        code=code("calibrate"),
    template_engine:
        "jinja2"


rule calibrate:
    input:
        rules.list_reviewed.output,
    output:
        found="<results>/calibration/{assay}.json",
        next="<results>/calibration/{assay}.next.csv",
    log:
        "<logs>/calibration/{assay}.log",
    benchmark:
        "<benchmarks>/calibration/{assay}.tsv"
    params:
        settings=settings("calibrate", of="assay"),
        code=code("calibrate"),
    shell:
        "ctcascade calibrate @{input:q} --out {output.found:q} --next {output.next:q} 2> {log:q}"


rule report_calibration:
    input:
        rules.calibrate.output.found,
    output:
        report(
            "<results>/calibration/{assay}.html",
            caption="../report/calibration.rst",
            category="Calibration",
            labels={"assay": "{assay}"},
        ),
    log:
        "<logs>/calibration/{assay}.report.log",
    benchmark:
        "<benchmarks>/calibration/{assay}.report.tsv"
    params:
        settings=json.dumps({}),
        code=code("report"),
    shell:
        "ctcascade report calibration --settings {params.settings:q} --calibration {input:q} --out {output:q} 2> {log:q}"
