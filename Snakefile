# From blood images to a patient's report, in the order of the flow:
#
#   frames --detect--> cells --classify--> calls --count--> counts --simulate--> cascade --prognose--> prognosis --report
#
# Settings: config/config.yaml, changed in an overlay (--configfile my.yaml) or by --config name=value.

from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"  # sheets and settings: read, checked, refused here
include: "workflow/rules/images.smk"  # each sample: frames to counts
include: "workflow/rules/patients.smk"  # each patient: counts to prognosis, and all pages
include: "workflow/rules/recovery.smk"  # snakemake recovery: a spike-in of phantom cells, beside the flow
include: "workflow/rules/validation.smk"  # snakemake validation: limits, linearity and precision of each assay, beside the flow
include: "workflow/rules/calibration.smk"  # snakemake calibration: p_ctc as the laboratory's reviewers find it, beside the flow
include: "workflow/rules/exchange.smk"  # snakemake exchange: results for other systems, beside the flow
include: "workflow/rules/cohort.smk"  # snakemake cohort: follow-up of the lab's own patients, beside the flow


localrules:
    all,
    gather,
    list_compared,
    compare,
    classify,
    crops,
    count,
    quality,
    operator,
    list_controls,
    controls,
    simulate,
    prognose,
    report_sample,
    report_patient,
    list_cohort,
    report_cohort,
    recovery,
    fit_recovery,
    report_recovery,
    exchange,
    exchange_patient,
    list_exchanged,
    exchange_study,
    crate,
    validation,
    list_known,
    validate_assay,
    report_validation,
    calibration,
    list_reviewed,
    calibrate,
    report_calibration,
    cohort,
    list_followed,
    compare_cohort,
    report_follow_up,


rule all:
    default_target: True
    input:
        [] if WITHOUT else "<results>/index.html",
        collect("<results>/samples/{sample}/report.html", sample=shown_samples()),
        collect("<results>/patients/{patient}/report.html", patient=shown_patients()),


include: "workflow/rules/crate.smk"  # snakemake crate: all of it as an RO-Crate, beside the flow


onstart:
    take_results()
    let_scheduler_sleep()


onsuccess:
    results_folder.remove_ahead(RESULTS)
    say_what_is_shared()
    say_what_came()
    for page in pages_of_this_run():
        print("Report:", page)


onerror:
    results_folder.remove_ahead(RESULTS)
    make_other_pages()
